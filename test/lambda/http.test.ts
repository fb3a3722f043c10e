import { PassThrough } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeFrame, encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { FRAME_TYPE } from "#shared/codec/media-types.ts";
import { ImageValue } from "#shared/index.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { log } from "#shared/observability/log.ts";
import { door, patternOf } from "./fixture-service.ts";
import { type EventRequest, payloadAlb, payloadV1, payloadV2 } from "./http-events.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

interface Result {
  statusCode: number;
  headers?: Record<string, string>;
  multiValueHeaders?: Record<string, string[]>;
  body: string;
  isBase64Encoded: boolean;
}

const handler = lambdaHandler(door);
const answer = async (event: object, remainingMs?: number): Promise<Result> =>
  (await handler(JSON.parse(JSON.stringify(event)), lambdaContext(remainingMs))) as Result;
const bytesOf = ({ body, isBase64Encoded }: Result): Buffer => Buffer.from(body, isBase64Encoded ? "base64" : "utf8");
const typeOf = ({ headers, multiValueHeaders }: Result) =>
  headers?.["content-type"] ?? multiValueHeaders?.["content-type"]?.[0];

async function upload(bytes: Uint8Array<ArrayBuffer>): Promise<EventRequest> {
  const form = new FormData();
  form.set("image", new Blob([bytes], { type: "image/png" }), "picture.png");
  const request = new Response(form);
  const headers = { "content-type": request.headers.get("content-type")! };
  return { method: "POST", path: "/picture", headers, body: new Uint8Array(await request.arrayBuffer()) };
}
const json = (path: string, value: unknown, headers: Record<string, string> = {}): EventRequest => ({
  method: "POST",
  path,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(value),
});

describe.each([
  ["function URL", payloadV2],
  ["HTTP API", (request: EventRequest) => payloadV2(request, "x.execute-api.us-east-1.amazonaws.com")],
  ["REST API", payloadV1],
  ["load balancer", payloadAlb],
] as const)("%s", (_name, eventOf) => {
  test("a probe", async () => {
    expect(await answer(eventOf({ method: "GET", path: "/livez" }))).toMatchObject({ statusCode: 200, body: "\n" });
  });

  test("a form with a picture, answered with the picture", async () => {
    const picture = patternOf(100_000) as Uint8Array<ArrayBuffer>;
    const result = await answer(eventOf(await upload(picture)));
    expect([result.statusCode, typeOf(result), result.isBase64Encoded]).toEqual([200, "image/webp", true]);
    expect(Buffer.compare(bytesOf(result), picture)).toBe(0);
  });

  test("a frame, answered with a frame", async () => {
    const body = joinFrame(encodeFrame({ image: new ImageValue(patternOf(10)) }));
    const request = { method: "POST", path: "/picture", headers: { "content-type": FRAME_TYPE }, body };
    const result = await answer(eventOf(request));
    expect(typeOf(result)).toBe(FRAME_TYPE);
    expect(decodeFrame(new Uint8Array(bytesOf(result)))).toEqual(new ImageValue(patternOf(10), "webp"));
  });

  test("JSON, as text both ways", async () => {
    const result = await answer(eventOf(json("/plain", { value: "Zürich 日本" })));
    expect(result).toMatchObject({ statusCode: 200, body: '"Zürich 日本"', isBase64Encoded: false });
  });

  test("an error with its status", async () => {
    const result = await answer(eventOf(json("/plain", { wrong: 1 })));
    expect([result.statusCode, JSON.parse(result.body).code]).toEqual([400, "INVALID_ARGUMENT"]);
    expect((await answer(eventOf({ method: "GET", path: "/nowhere" }))).statusCode).toBe(404);
  });
});

describe("in one piece", () => {
  test("a stream's items follow each other", async () => {
    const result = await answer(payloadV2(json("/items", { n: 2 })));
    expect(bytesOf(result).toString()).toBe('{"n":0,"raw":""}{"n":1,"raw":""}');
  });

  test("an answer over 6 MB is refused, saying what helps", async () => {
    expect((await answer(payloadV2(json("/raw", { length: 4_700_000 })))).statusCode).toBe(200);
    const result = await answer(payloadV2(json("/raw", { length: 4_730_000 })));
    expect([result.statusCode, JSON.parse(bytesOf(result).toString()).code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect(bytesOf(result).toString()).toContain("RESPONSE_STREAM");
  });
});

describe("deadlines", () => {
  afterEach(() => void vi.useRealTimers());

  test.each([
    ["the caller's", 120_000, { "tandem-timeout-ms": "5000" }, 5_000],
    ["what Lambda leaves, less half a second", 20_000, { "tandem-timeout-ms": "60000" }, 19_500],
    ["Lambda's again, where the caller names none", 20_000, {}, 19_500],
  ] as const)("%s", async (_whose, remainingMs, headers, left) => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const result = await answer(payloadV2(json("/seen", {}, headers)), remainingMs);
    expect(JSON.parse(result.body).left).toBe(left);
  });

  test("a call that is not done then is answered", async () => {
    expect((await answer(payloadV2(json("/wait", {})), 600)).statusCode).toBe(504);
  });
});

describe("access", () => {
  afterEach(() => void vi.unstubAllEnvs());
  const key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  const probe = payloadV2({ method: "GET", path: "/livez" });

  test("keys of the environment are asked for over HTTP; who may invoke the function, IAM says", async () => {
    vi.stubEnv("TANDEM_API_KEYS", key);
    const guarded = lambdaHandler(door, { access: "bearer" });
    const status = async (event: object): Promise<number> =>
      ((await guarded(event, lambdaContext())) as Result).statusCode;
    expect(await status(payloadV2(json("/plain", { value: 1 })))).toBe(401);
    expect(await status(payloadV2(json("/plain", { value: 1 }, { authorization: `Bearer ${key}` })))).toBe(200);
    expect(await status(probe)).toBe(200);
    expect(await guarded({ api: "plain", input: { value: 1 } }, lambdaContext())).toEqual({ output: 1 });
  });

  test("a function that wants keys and has none answers nobody", async () => {
    vi.stubEnv("TANDEM_API_KEYS", "");
    const closed = lambdaHandler(door, { access: "bearer" });
    await expect(closed(payloadV2(json("/plain", { value: 1 })), lambdaContext())).rejects.toThrow("TANDEM_API_KEYS");
    expect(await closed({ api: "plain", input: { value: 1 } }, lambdaContext())).toMatchObject({
      error: { code: "INTERNAL" },
    });
  });

  test("a rate counts each client's address", async () => {
    vi.stubEnv("TANDEM_RATE_LIMIT", "2/hour");
    const limited = lambdaHandler(door);
    const from = async (sourceIp: string): Promise<number> => {
      const event = structuredClone(payloadV2(json("/plain", { value: 1 }))) as {
        requestContext: { http: { sourceIp: string } };
      };
      event.requestContext.http.sourceIp = sourceIp;
      return ((await limited(event, lambdaContext())) as Result).statusCode;
    };
    expect([await from("192.0.2.1"), await from("192.0.2.1"), await from("192.0.2.1")]).toEqual([200, 200, 429]);
    expect(await from("192.0.2.2")).toBe(200);
  });
});

describe("on a response stream", () => {
  /** Lambda's globals as far as the handler uses them: the head is a first line of JSON here. */
  function streaming(): (
    event: object,
    remainingMs?: number,
  ) => { out: PassThrough & { type?: string }; done: Promise<unknown> } {
    type Streaming = (event: unknown, stream: PassThrough, context: unknown) => Promise<unknown>;
    vi.stubGlobal("awslambda", {
      streamifyResponse: (streamed: Streaming) => streamed,
      HttpResponseStream: {
        from: (stream: PassThrough, head: object) => {
          stream.write(`${JSON.stringify(head)}\n`);
          return stream;
        },
      },
    });
    const streamed = lambdaHandler(door) as unknown as Streaming;
    return (event, remainingMs) => {
      const out: PassThrough & { type?: string } = new PassThrough();
      Object.assign(out, { setContentType: (type: string) => Object.assign(out, { type }) });
      return { out, done: streamed(event, out, lambdaContext(remainingMs)) };
    };
  }
  afterEach(() => void vi.unstubAllGlobals());
  const textOf = async (stream: PassThrough): Promise<string> =>
    Buffer.concat(await stream.toArray()).toString("latin1");

  test("a function URL's answer: head and body, however large", async () => {
    const { out, done } = streaming()(payloadV2(json("/raw", { length: 10_000_000 })));
    const text = await textOf(out);
    await done;
    const end = text.indexOf("\n");
    expect(JSON.parse(text.slice(0, end))).toMatchObject({
      statusCode: 200,
      headers: { "content-type": "application/octet-stream" },
    });
    expect(Buffer.compare(Buffer.from(text.slice(end + 1), "latin1"), patternOf(10_000_000))).toBe(0);
  });

  test("an error after the first item breaks the answer off", async () => {
    const { out, done } = streaming()(payloadV2(json("/items", { n: 2, failAt: 1 })));
    let text = "";
    out.on("data", (chunk) => {
      text += chunk;
    });
    await expect(done).rejects.toThrow("unexpectedly");
    expect(text.split("\n")[1]).toBe('{"n":0,"raw":""}');
    expect(out.writableEnded).toBe(false);
  });

  test("a stream that is closed stops what fills it", async () => {
    const { out, done } = streaming()(payloadV2(json("/items", { n: 1e9, size: 100_000 })));
    out.once("data", () => out.destroy());
    await expect(done).rejects.toThrow();
  });

  test("an error before the first item has its status", async () => {
    const { out, done } = streaming()(payloadV2(json("/items", { n: 2, failAt: 0 })));
    expect(JSON.parse((await textOf(out)).split("\n")[0]!)).toMatchObject({ statusCode: 500 });
    await done;
  });

  test("an answer without a body is sent, too", async () => {
    const { out, done } = streaming()(payloadV2({ method: "HEAD", path: "/livez" }));
    expect(JSON.parse((await textOf(out)).split("\n")[0]!).statusCode).toBe(200);
    await done;
  });

  test.each([
    ["a call by Invoke", { api: "plain", input: { value: 1 } }, { output: 1 }],
    [
      "an HTTP API's event",
      payloadV2({ method: "GET", path: "/livez" }, "x.execute-api.us-east-1.amazonaws.com"),
      { statusCode: 200 },
    ],
  ])("%s is answered in one piece of JSON", async (_what, event, expected) => {
    const { out, done } = streaming()(event);
    expect(JSON.parse(await textOf(out))).toMatchObject(expected);
    expect(out.type).toBe("application/json");
    await done;
  });

  test("where its URL is BUFFERED, it does not stream", async () => {
    vi.stubGlobal("awslambda", { streamifyResponse: () => undefined, HttpResponseStream: {} });
    const buffered: LambdaHandler = lambdaHandler(door, { streaming: false });
    const event = payloadV2({ method: "GET", path: "/livez" });
    expect(await buffered(event, lambdaContext())).toMatchObject({ statusCode: 200 });

    vi.stubEnv("TANDEM_INVOKE_MODE", "BUFFERED");
    expect(await lambdaHandler(door)(event, lambdaContext())).toMatchObject({ statusCode: 200 });
    vi.stubEnv("TANDEM_INVOKE_MODE", "RESPONSE_STREAM");
    expect(lambdaHandler(door)).toBeUndefined();
  });
});
