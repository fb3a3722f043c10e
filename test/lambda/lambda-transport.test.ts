import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { LambdaFunction } from "#shared/aws/lambda-function.ts";
import { encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { ITEMS_TYPE } from "#shared/codec/media-types.ts";
import { type Client, createClient, type ErrorCode, type ServiceError } from "#shared/index.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { log } from "#shared/observability/log.ts";
import { clientOf } from "#shared/service/client.ts";
import { decodeItems } from "#shared/transport/frame-items.ts";
import { LambdaTransport } from "#shared/transport/lambda-client.ts";
import { locationsFromEnvironment } from "#shared/transport/location.ts";
import { Door, door, patternOf } from "./fixture-service.ts";
import { type InvokeFront, startInvokeFront } from "./invoke-front.ts";
import { lambdaContext } from "./lambda-context.ts";
import { answerOf, inStreamingRuntime } from "./streaming-runtime.ts";

log.level = "silent";

const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-client-"));
const storeUrl = `file:${folder}`;
let front: InvokeFront;
let client: Client<typeof Door>;
/** Without a store on either side. */
let alone: Client<typeof Door>;
beforeAll(async () => {
  front = await startInvokeFront();
  const clientFor = (functionName: string, handler?: LambdaHandler, options: { storeUrl?: string } = {}) => {
    if (handler) front.serve(functionName, handler);
    const open = async (name: string) => new LambdaFunction(name, { client: front.client });
    const transport = new LambdaTransport("Door", { transport: "lambda", functionName, ...options }, open);
    return clientOf(Door, async () => transport);
  };
  client = clientFor("door", lambdaHandler(door, { storeUrl }), { storeUrl });
  alone = clientFor("alone", lambdaHandler(door));
});
afterAll(async () => {
  await front[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => {
  front.events.length = 0;
  front.refusals.length = 0;
});

const code = (expected: ErrorCode, more: object = {}) => expect.objectContaining({ code: expected, ...more });
const throttled = { status: 429, name: "TooManyRequestsException", headers: { "retry-after": "3" } };

describe("6 MB", () => {
  test("what is larger goes through the store, there and back", async () => {
    const raw = patternOf(5_000_000);
    expect(await client.measure({ raw })).toBe(raw.length);
    expect(front.events).toEqual([expect.objectContaining({ api: "measure", stored: expect.any(String) })]);
    expect(Buffer.compare(await client.raw({ length: raw.length }), raw)).toBe(0);
    expect(front.events[1]).toEqual(expect.objectContaining({ api: "raw", frame: expect.any(String) }));
  });

  test("a stream that is larger, too", async () => {
    const numbers: number[] = [];
    for await (const { n } of client.items({ n: 3, size: 2_000_000 })) numbers.push(n);
    expect(numbers).toEqual([0, 1, 2]);
  });

  test("what is just under travels in the invocation, for which no store is needed", async () => {
    const length = Math.floor((6 * 2 ** 20 * 3) / 4) - 20_000;
    expect(await alone.measure({ raw: new Uint8Array(length) })).toBe(length);
    expect(await alone.raw({ length })).toHaveLength(length);
  });

  test("without a store, what is larger is refused", async () => {
    await expect(alone.measure({ raw: new Uint8Array(5_000_000) })).rejects.toEqual(code("PAYLOAD_TOO_LARGE"));
    expect(front.events).toEqual([]);
    await expect(alone.raw({ length: 5_000_000 })).rejects.toEqual(code("PAYLOAD_TOO_LARGE", { service: "Door" }));
  });
});

describe("Lambda's own answers", () => {
  test("what is throttled has not run, and is tried again", async () => {
    front.refusals.push(throttled, throttled);
    expect(await client.plain({ value: 1 })).toBe(1);
    expect(front.events).toHaveLength(1);
  });

  test("what is throttled until its deadline says so, and that it may be tried again", async () => {
    front.refusals.push(...Array(100).fill(throttled));
    await expect(client.plain({ value: 1 }, { timeout: 0.5 })).rejects.toEqual(
      code("RESOURCE_EXHAUSTED", { service: "Door", retryAfter: 3 }),
    );
    expect(front.events).toEqual([]);
  });

  test("a service that is at its limit is not asked again: that is its answer", async () => {
    await expect(client.fail({ code: "RESOURCE_EXHAUSTED" })).rejects.toEqual(
      code("RESOURCE_EXHAUSTED", { service: "Door", retryAfter: 7, message: "out of luck" }),
    );
    expect(front.events).toHaveLength(1);
  });

  test("a function that crashes is INTERNAL, not tried again, and keeps its message at home", async () => {
    front.refusals.push("crash", "crash");
    const error = await client.plain({ value: 1 }).catch((reason: unknown) => reason as ServiceError);
    expect(error).toEqual(code("INTERNAL", { service: "Door", message: expect.stringContaining("Runtime.ExitError") }));
    expect(JSON.stringify(error)).not.toContain("hunter2");
    expect(front.refusals).toHaveLength(1);
  });

  test.each(["drop", { status: 500, name: "ServiceException" }] as const)(
    "%j: it may have run; only an idempotent api is called again",
    async (refusal) => {
      front.refusals.push(refusal, refusal);
      await expect(client.plain({ value: 1 })).rejects.toEqual(code("UNAVAILABLE", { service: "Door" }));
      expect(front.refusals).toHaveLength(1);
      expect(await client.seen({})).toBeDefined();
      expect(front.refusals).toHaveLength(0);
      expect(front.events).toHaveLength(1);
      front.refusals.push(...Array(10).fill(refusal));
      await expect(client.seen({})).rejects.toEqual(code("UNAVAILABLE"));
      expect(front.refusals).toHaveLength(6);
    },
  );

  test("a function that is not there is named", async () => {
    const open = async (name: string) => new LambdaFunction(name, { client: front.client });
    const transport = new LambdaTransport("Door", { transport: "lambda", functionName: "nowhere" }, open);
    const lost = clientOf(Door, async () => transport);
    await expect(lost.plain({ value: 1 })).rejects.toEqual(
      code("INTERNAL", { message: expect.stringContaining("no function nowhere") }),
    );
    expect(await transport.ready(new AbortController().signal)).toBe(false);
  });
});

describe("an invocation", () => {
  test("is waited for no longer than its caller waits", async () => {
    const caller = new AbortController();
    const call = client.wait({}, { signal: caller.signal });
    await vi.waitFor(() => expect(front.events).toHaveLength(1));
    caller.abort();
    await expect(call).rejects.toEqual(code("CANCELED"));
  });

  test("brings a stream's items together, its error after them", async () => {
    const numbers: number[] = [];
    const reading = (async () => {
      for await (const { n } of client.items({ n: 3, failAt: 2 })) numbers.push(n);
    })();
    await expect(reading).rejects.toEqual(code("INTERNAL", { service: "Door" }));
    expect(numbers).toEqual([0, 1]);
  });

  test("of a stream without an end is refused, saying what to do", async () => {
    const items = client.items({ n: 1e9, size: 8_000_000 })[Symbol.asyncIterator]();
    await expect(items.next()).rejects.toEqual(
      code("PAYLOAD_TOO_LARGE", { message: expect.stringContaining("function's URL") }),
    );
  });
});

describe("an invocation with a streamed answer", () => {
  let streamed: Client<typeof Door>;
  let fresh: () => Client<typeof Door>;
  beforeAll(() => {
    front.serve(
      "streamed",
      inStreamingRuntime(() => lambdaHandler(door)),
    );
    const open = async (name: string) => new LambdaFunction(name, { client: front.client });
    fresh = () => {
      const transport = new LambdaTransport("Door", { transport: "lambda", functionName: "streamed" }, open);
      return clientOf(Door, async () => transport);
    };
    streamed = fresh();
  });
  afterEach(() => {
    front.streaming = true;
  });
  const numbersOf = async (items: AsyncIterable<{ n: number }>): Promise<number[]> => {
    const numbers: number[] = [];
    for await (const { n } of items) numbers.push(n);
    return numbers;
  };
  const progress = (): void => undefined;

  test("is not bounded by 6 MB, and needs no store", async () => {
    const sizes: number[] = [];
    for await (const { raw } of streamed.items({ n: 12, size: 2_000_000 })) sizes.push(raw.byteLength);
    expect(sizes).toEqual(Array(12).fill(2_000_000));
    expect(await streamed.raw({ length: 9_000_000 }, { progress })).toHaveLength(9_000_000);
  });

  test("ends at the 200 MB that Lambda streams, saying so", async () => {
    const handler = inStreamingRuntime(() => lambdaHandler(door));
    const input = joinFrame(encodeFrame({ n: 1e9, size: 60_000_000 })).toString("base64");
    const event = { api: "items", frame: input, accept: ITEMS_TYPE };
    const kinds: string[] = [];
    for await (const item of decodeItems(answerOf(handler, event, lambdaContext()), 2 ** 30))
      kinds.push(item.kind === "error" ? item.error.code : item.kind);
    expect(kinds).toEqual(["value", "value", "value", "PAYLOAD_TOO_LARGE"]);
  });

  test("brings what the caller prefers for a picture, and nothing that an older function does not know", async () => {
    const { accept } = await streamed.seen({}, { accept: "image/webp", progress });
    expect(accept).toBe("image/webp");
    expect((await streamed.seen({}, { progress })).accept).toBeUndefined();
    const known = ["api", "callId", "traceparent", "timeoutMs", "frame"];
    expect(front.events.map((event) => Object.keys(event as object).sort())).toEqual(
      Array(2).fill([...known, "accept"].sort()),
    );
    // It takes the first for a type of picture that it has not, as it would one in an Accept header.
    expect(front.events.map((event) => (event as { accept: string }).accept)).toEqual([
      "application/vnd.tandem.frames, image/webp",
      "application/vnd.tandem.frames",
    ]);
  });

  test.each([
    { status: 403, name: "AccessDeniedException" },
    { status: 404, name: "UnknownOperationException" },
  ])("where it is refused with %j, the answer comes in one piece, and it is not tried again", async (refusal) => {
    front.streaming = refusal;
    const client = fresh();
    expect(await numbersOf(client.items({ n: 3 }))).toEqual([0, 1, 2]);
    front.streaming = true;
    expect(await numbersOf(client.items({ n: 2 }))).toEqual([0, 1]);
    expect(front.events).toEqual([
      expect.not.objectContaining({ accept: expect.anything() }),
      expect.not.objectContaining({ accept: expect.anything() }),
    ]);
  });

  test("what is throttled is tried again; what the service refuses is not", async () => {
    front.refusals.push(throttled, throttled);
    expect(await numbersOf(streamed.items({ n: 1 }))).toEqual([0]);
    expect(front.events).toHaveLength(1);
    await expect(streamed.fail({ code: "RESOURCE_EXHAUSTED" }, { progress })).rejects.toEqual(
      code("RESOURCE_EXHAUSTED", { service: "Door", retryAfter: 7 }),
    );
    expect(front.events).toHaveLength(2);
  });

  test("a function that crashes is INTERNAL, and keeps its message at home", async () => {
    front.refusals.push("crash");
    const error = await numbersOf(streamed.items({ n: 1 })).catch((reason: unknown) => reason as ServiceError);
    expect(error).toEqual(code("INTERNAL", { service: "Door", message: expect.stringContaining("Runtime.ExitError") }));
    expect(JSON.stringify(error)).not.toContain("hunter2");
  });

  test("a connection that breaks is UNAVAILABLE; an idempotent call is made again, unless its items are out", async () => {
    front.refusals.push("break");
    const got: number[] = [];
    const reading = (async () => {
      for await (const { n } of streamed.items({ n: 3, size: 1 })) got.push(n);
    })();
    await expect(reading).rejects.toEqual(code("UNAVAILABLE", { service: "Door" }));
    expect(got[0]).toBe(0);
    front.refusals.push("drop", "drop");
    expect(await streamed.seen({}, { progress })).toBeDefined();
    front.refusals.push("drop");
    await expect(streamed.plain({ value: 1 }, { progress })).rejects.toEqual(code("UNAVAILABLE", { service: "Door" }));
  });

  test("a caller that stops early leaves no connection behind", async () => {
    for (let round = 0; round < 3; round++)
      for await (const { n } of streamed.items({ n: 300, size: 100_000 })) if (n === 2) break;
    await vi.waitFor(async () => expect(await front.connections()).toBeLessThanOrEqual(1));
    expect(await streamed.plain({ value: 1 })).toBe(1);
  });
});

describe("a function's place", () => {
  afterEach(() => void vi.unstubAllEnvs());

  test("createClient finds Lambda where AWS_ENDPOINT_URL_LAMBDA says", async () => {
    vi.stubEnv("AWS_ENDPOINT_URL_LAMBDA", front.endpoint);
    vi.stubEnv("AWS_REGION", "us-east-1");
    vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
    await using found = createClient(Door, { functionName: "door" });
    expect(await found.plain({ value: [1, { a: 2n }] })).toEqual([1, { a: 2n }]);
  });

  test("TANDEM_SERVICES may name it", () => {
    const text =
      '{"Door": {"transport": "lambda", "functionName": "arn:aws:lambda:eu-west-1:123456789012:function:door:live"}}';
    expect(locationsFromEnvironment(text).Door).toMatchObject({ transport: "lambda" });
    expect(() => locationsFromEnvironment('{"Door": {"transport": "lambda", "functionName": "a b"}}')).toThrow(
      TypeError,
    );
  });
});
