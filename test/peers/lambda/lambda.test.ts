import { mkdtempSync, readFileSync } from "node:fs";
import { rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { bundleHandlers, HANDLERS } from "#functions/build.ts";
import { handler as entryHere } from "#functions/handlers/controlnet.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { loadSharp } from "#shared/image/sharp.ts";
import { createClient, ImageValue } from "#shared/index.ts";
import { runtimeClient } from "#shared/serve/lambda/runtime-client.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { lambdaContext } from "../../lambda/lambda-context.ts";
import { type LocalLambda, type LocalLambdaSettings, startLocalLambda } from "./local-lambda.ts";
import { Remote } from "./remote-handler.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const picture = readFileSync(`${ROOT}examples/cat-face.png`);
const folder = mkdtempSync(join(tmpdir(), "tandem-local-lambda-"));
const storeUrl = `file:${folder}/store`;
const stopping: AsyncDisposable[] = [];
let runtime: string;

async function start(handler: string, settings: Partial<LocalLambdaSettings> = {}): Promise<LocalLambda> {
  const lambda = await startLocalLambda({ folder, handler, runtime, env: { TANDEM_STORE: storeUrl }, ...settings });
  stopping.push(lambda);
  return lambda;
}

beforeAll(async () => {
  runtime = await runtimeClient();
  await bundleHandlers(folder, { ...HANDLERS, remote: "test/peers/lambda/remote-handler.ts" });
  await symlink(`${ROOT}node_modules`, join(folder, "node_modules"));
  vi.stubEnv("AWS_REGION", "us-east-1");
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const lambda of stopping) await lambda[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A client that invokes a function with the AWS SDK. */
function clientOf<S extends Parameters<typeof createClient>[0]>(service: S, { endpoint }: LocalLambda) {
  vi.stubEnv("AWS_ENDPOINT_URL_LAMBDA", endpoint);
  return createClient(service, { functionName: "tandem", storeUrl });
}

/** The edges as this process finds them: base64 of a PNG. */
async function edgesHere(bytes: Uint8Array): Promise<Buffer> {
  const input = { image: Buffer.from(bytes).toString("base64") };
  const { output } = (await entryHere({ api: "edges", input }, lambdaContext())) as { output: string };
  return Buffer.from(output.split(",")[1]!, "base64");
}

const post = (url: string, input: object): Promise<Response> =>
  fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(input) });
/** The code of an error that was answered. */
const codeOf = async (response: Response): Promise<string> => ((await response.json()) as { code: string }).code;

async function upload(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<Response> {
  const form = new FormData();
  form.set("image", new Blob([bytes], { type: "image/png" }), "picture.png");
  return await fetch(`${url}/edges`, { method: "POST", body: form });
}

describe.each(["RESPONSE_STREAM", "BUFFERED"] as const)("the entry behind a function URL that is %s", (invokeMode) => {
  let entry: LocalLambda;
  beforeAll(async () => {
    entry = await start("controlnet.handler", { invokeMode, env: { ...(invokeMode === "BUFFERED" && NO_STREAMS) } });
  });

  test("says that it lives", async () => {
    const response = await fetch(`${entry.url}/livez`);
    expect([response.status, await response.text()]).toEqual([200, "\n"]);
  });

  test("describes itself", async () => {
    expect(await (await fetch(`${entry.url}/schema.json`)).json()).toMatchObject({ name: "ControlNet" });
    expect(await (await fetch(`${entry.url}/`)).text()).toContain("<html");
  });

  test("finds a picture's edges, byte for byte as here", async () => {
    const response = await upload(entry.url, picture as Uint8Array<ArrayBuffer>);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/png"]);
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(Buffer.compare(bytes, await edgesHere(picture))).toBe(0);
  });

  test("finds a large picture's on the thread that it brings along", async () => {
    const sharp = await loadSharp();
    const large = new Uint8Array(await sharp(picture).resize(2500, 2000, { fit: "fill" }).png().toBuffer());
    const response = await upload(entry.url, large);
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), await edgesHere(large))).toBe(0);
  });

  test("answers errors with their status", async () => {
    const response = await upload(entry.url, Uint8Array.of(1, 2, 3));
    expect([response.status, await codeOf(response)]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
    expect((await fetch(`${entry.url}/edges`)).status).toBe(405);
    expect((await fetch(`${entry.url}/nowhere`)).status).toBe(404);
  });

  test("is one warm instance all along", () => expect(entry.fn.initMs).toHaveLength(1));
});

/** Takes the runtime's streams away: what a handler sees in a runtime that has none. */
const NO_STREAMS = { AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA: "1" };

describe("a function URL", () => {
  test("streams: an item arrives before the next one is made", async () => {
    const { url } = await start("remote.handler");
    const file = join(folder, "gate-1");
    const response = await post(`${url}/gated`, { file });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe("first");
    await writeFile(file, "");
    expect((await reader.read()).value).toBe("second");
    expect((await reader.read()).done).toBe(true);
  });

  test("breaks off an answer that fails on its way, and goes on with the next call", async () => {
    const { url, fn } = await start("remote.handler");
    const file = join(folder, "gate-2");
    await writeFile(file, "");
    const response = await post(`${url}/gated`, { file, fail: true });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect(fn.initMs).toHaveLength(1);
  });

  test("streams more than 6 MB; one that is BUFFERED refuses it", async () => {
    const streaming = await start("remote.handler");
    const response = await post(`${streaming.url}/raw`, { length: 10_000_000 });
    expect((await response.arrayBuffer()).byteLength).toBe(10_000_000);
    const whole = await start("remote.buffered", { invokeMode: "BUFFERED" });
    const refused = await post(`${whole.url}/raw`, { length: 10_000_000 });
    expect([refused.status, await codeOf(refused)]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
  });
});

describe.each(["handler", "buffered"])("Invoke of %s", (name) => {
  let remote: LocalLambda;
  beforeAll(async () => {
    remote = await start(`remote.${name}`, { timeout: 3 });
  });
  const invoke = async (event: unknown, InvocationType?: "Event" | "DryRun") => {
    const client = new LambdaClient({ endpoint: remote.endpoint, maxAttempts: 1 });
    const Payload = Buffer.from(JSON.stringify(event));
    const answer = await client.send(new InvokeCommand({ FunctionName: "tandem", Payload, InvocationType }));
    const text = Buffer.from(answer.Payload ?? []).toString();
    return { status: answer.StatusCode, error: answer.FunctionError, payload: text ? JSON.parse(text) : undefined };
  };

  test("a call, its output; a warm instance takes the next one", async () => {
    const { payload } = await invoke({ api: "pid" });
    expect(payload).toEqual({ output: expect.any(Number) });
    expect(await invoke({ api: "pid", input: {} })).toEqual({ status: 200, error: undefined, payload });
  });

  test("errors have their code; an event that is no call is one", async () => {
    for (const [event, code] of [
      [{ api: "nope" }, "NOT_FOUND"],
      [{ api: "raw", input: { length: "x" } }, "INVALID_ARGUMENT"],
      [{}, "INVALID_ARGUMENT"],
    ] as const)
      expect((await invoke(event)).payload).toEqual({ error: expect.objectContaining({ code }) });
  });

  test("a batch of records fails, so that it stays in its queue", async () => {
    expect((await invoke({ Records: [{ eventSource: "aws:sqs" }] })).error).toBe("Unhandled");
  });

  test("a call that is not done is answered before Lambda ends the function", async () => {
    const { error, payload } = await invoke({ api: "wait" });
    expect(error).toBeUndefined();
    expect(payload).toEqual({ error: expect.objectContaining({ code: "DEADLINE_EXCEEDED" }) });
  });

  test("Event and DryRun", async () => {
    expect((await invoke({ api: "pid" }, "Event")).status).toBe(202);
    expect((await invoke({ api: "pid" }, "DryRun")).status).toBe(204);
  });

  test("our client: typed, any size, a stream's items together", async () => {
    await using client = clientOf(Remote, remote);
    expect(await client.pid({})).toBeGreaterThan(0);
    expect(await client.measure({ raw: new Uint8Array(9_000_000) })).toBe(9_000_000);
    expect(await client.raw({ length: 9_000_000 })).toHaveLength(9_000_000);
    const file = join(folder, "gate-3");
    await writeFile(file, "");
    const items: string[] = [];
    for await (const item of client.gated({ file })) items.push(item);
    expect(items).toEqual(["first", "second"]);
  });

  test.each(["exit", "spin"] as const)(
    "a function that does not come back from %s is INTERNAL, and is replaced",
    async (api) => {
      await using client = clientOf(Remote, remote);
      await expect(client[api]({})).rejects.toEqual(expect.objectContaining({ code: "INTERNAL", service: "Remote" }));
      expect(await client.pid({})).toBeGreaterThan(0);
    },
  );
});

describe("Invoke with a streamed answer", () => {
  test("an item arrives before the next one is made; a function that answers whole gives them together", async () => {
    for (const [name, first] of [
      ["handler", 1],
      ["buffered", 2],
    ] as const) {
      await using client = clientOf(Remote, await start(`remote.${name}`));
      const file = join(folder, `gate-${name}`);
      if (name === "buffered") await writeFile(file, "");
      const items: string[] = [];
      for await (const item of client.gated({ file })) {
        items.push(item);
        if (items.length === first) await writeFile(file, "");
      }
      expect(items).toEqual(["first", "second"]);
    }
  });

  test("more than 6 MB, where Invoke has no room", async () => {
    const lambda = await start("remote.handler", { env: {} });
    vi.stubEnv("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint);
    await using client = createClient(Remote, { functionName: "tandem" });
    const progress = (): void => undefined;
    expect(await client.raw({ length: 9_000_000 }, { progress })).toHaveLength(9_000_000);
    await expect(client.raw({ length: 9_000_000 })).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  test("an environment that is killed in mid-stream is INTERNAL, and is replaced", async () => {
    const lambda = await start("remote.handler");
    await using client = clientOf(Remote, lambda);
    const reading = (async () => {
      for await (const _ of client.gated({ file: join(folder, "gate-never") }))
        for (const pid of lambda.fn.pids) process.kill(pid, "SIGKILL");
    })();
    await expect(reading).rejects.toEqual(expect.objectContaining({ code: "INTERNAL", service: "Remote" }));
    expect(await client.pid({})).toBeGreaterThan(0);
  });
});

test("the runtime API keeps the connection of a function that has nothing to say for long", async () => {
  await using client = clientOf(Remote, await start("remote.handler"));
  expect(await client.idle({ seconds: 8 })).toBe(true);
});

describe("the Invoke API", () => {
  const send = (endpoint: string, name: string, body: string, headers: Record<string, string> = {}) =>
    fetch(`${endpoint}/2015-03-31/functions/${name}/invocations`, { method: "POST", body, headers });
  const signed = { authorization: "AWS4-HMAC-SHA256 Credential=x" };

  test("answers as Lambda does what it refuses", async () => {
    const { endpoint } = await start("remote.handler");
    const refusal = async (...args: [string, string, Record<string, string>?]) => {
      const response = await send(endpoint, ...args);
      return [response.status, response.headers.get("x-amzn-errortype")];
    };
    expect(await refusal("nowhere", "{}", signed)).toEqual([404, "ResourceNotFoundException"]);
    expect(await refusal("tandem", "{", signed)).toEqual([400, "InvalidRequestContentException"]);
    expect(await refusal("tandem", JSON.stringify("x".repeat(6 * 2 ** 20)), signed)).toEqual([
      413,
      "RequestTooLargeException",
    ]);
    // Another site's page in this machine's browser.
    expect(await refusal("tandem", "{}")).toEqual([403, "MissingAuthenticationTokenException"]);
  });

  test("an answer over 6 MB is a function's error", async () => {
    const { endpoint } = await start("remote.large");
    const response = await send(endpoint, "tandem", "{}", signed);
    expect(response.headers.get("x-amz-function-error")).toBe("Unhandled");
    expect(await response.json()).toEqual({
      errorType: "Function.ResponseSizeTooLarge",
      errorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    });
  });

  test("a function that runs out of time, or exits, says so", async () => {
    const { endpoint } = await start("remote.handler", { timeout: 1 });
    const error = async (api: string) => (await send(endpoint, "tandem", JSON.stringify({ api }), signed)).json();
    expect(await error("spin")).toEqual({
      errorType: "Sandbox.Timedout",
      errorMessage: expect.stringMatching(/^RequestId: [\w-]+ Error: Task timed out after 1\.00 seconds$/),
    });
    expect(await error("exit")).toEqual({
      errorType: "Runtime.ExitError",
      errorMessage: expect.stringMatching(/Error: Runtime exited with error: exit status 3$/),
    });
  });
});

test("more calls than instances are throttled, and tried again until one is free", async () => {
  const lambda = await start("remote.handler", { concurrency: 1 });
  await using client = clientOf(Remote, lambda);
  const pids = await Promise.all(Array.from({ length: 5 }, () => client.pid({})));
  expect(new Set(pids).size).toBe(1);
});

test("the entry by Invoke: a picture's edges", async () => {
  await using client = clientOf(ControlNet, await start("controlnet.handler"));
  const edges = await client.edges({ image: new ImageValue(picture, "png") });
  expect(Buffer.compare(edges.bytes, await edgesHere(picture))).toBe(0);
});

test("the entry's queue and its dead-letter queue as event sources", async () => {
  const objects = new CallObjects(new DiskStore(join(folder, "store")), "ControlNet");
  const client = async (handler: string) => {
    const { endpoint } = await start(handler);
    return new LambdaClient({ endpoint, maxAttempts: 1 });
  };
  const batch = (id: string) => {
    const call = {
      kind: "call",
      id,
      api: "edges",
      callId: id,
      deadline: Date.now() + 60_000,
      traceparent: "",
    } as const;
    const { body, attributes } = encodeMessage(call, encodeFrame({ image: new ImageValue(picture) }));
    const named = Object.entries(attributes).map(([name, stringValue]) => [name, { stringValue, dataType: "String" }]);
    const record = {
      messageId: id,
      receiptHandle: id,
      body,
      attributes: { ApproximateReceiveCount: "1", SentTimestamp: String(Date.now()) },
      messageAttributes: Object.fromEntries(named),
      eventSource: "aws:sqs",
      eventSourceARN: "arn:aws:sqs:us-east-1:123456789012:ControlNet",
    };
    return new InvokeCommand({ FunctionName: "tandem", Payload: Buffer.from(JSON.stringify({ Records: [record] })) });
  };
  for (const [handler, id] of [
    ["controlnet-queue.handler", "run"],
    ["controlnet-dead-letters.handler", "dead"],
  ] as const) {
    const { Payload, FunctionError } = await (await client(handler)).send(batch(id));
    expect([FunctionError, JSON.parse(Buffer.from(Payload!).toString())]).toEqual([
      undefined,
      { batchItemFailures: [] },
    ]);
  }
  const { output } = (await objects.result("run")) as { output: ImageValue };
  expect(Buffer.compare(output.bytes, await edgesHere(picture))).toBe(0);
  expect((await objects.result("dead"))?.error?.code).toBe("UNAVAILABLE");
});
