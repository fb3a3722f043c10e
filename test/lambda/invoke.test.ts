import { mkdtempSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeFrame, encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { deployable, ImageValue, service } from "#shared/index.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { log } from "#shared/observability/log.ts";
import { decodeItems } from "#shared/transport/frame-items.ts";
import { Door, door, patternOf } from "./fixture-service.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

let folder: string;
let handler: LambdaHandler;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tandem-invoke-"));
  handler = lambdaHandler(door, { storeUrl: `file:${folder}` });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// biome-ignore lint/suspicious/noExplicitAny: answers are JSON.
const invoke = async (event: unknown, remainingMs?: number): Promise<any> =>
  JSON.parse(JSON.stringify(await handler(JSON.parse(JSON.stringify(event)), lambdaContext(remainingMs))));
const base64 = (bytes: Uint8Array | ArrayBuffer): string => Buffer.from(bytes as Uint8Array).toString("base64");
const framed = (input: unknown): string => joinFrame(encodeFrame(input)).toString("base64");
const failure = (code: string, more: object = {}) => ({ error: expect.objectContaining({ code, ...more }) });

describe("JSON", () => {
  test("an array as nested lists, and as dtype, shape and base64", async () => {
    const floats = Float32Array.of(1, 2, 3, 4, 5, 6);
    const written = { dtype: "float32", shape: [2, 3], data: base64(floats.buffer) };
    const answer = {
      output: {
        arr: [
          [2, 4, 6],
          [8, 10, 12],
        ],
        more: [[7, "9223372036854775807"]],
      },
    };
    const longs = BigInt64Array.of(7n, 2n ** 63n - 1n);
    const more = [{ arr: { dtype: "int64", shape: [2], data: base64(longs.buffer) } }, {}];
    expect(await invoke({ api: "double", input: { arr: written, more } })).toEqual(answer);
    const lists = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    expect(await invoke({ api: "double", input: { arr: lists, more } })).toEqual(answer);
  });

  test.each([
    [{ dtype: "float32", shape: [2, 2], data: base64(new Float32Array(3).buffer) }],
    [{ dtype: "float32", shape: [1e9, 1e9], data: "" }],
    [{ dtype: "float32", shape: [-1, -1], data: base64(new Float32Array(1).buffer) }],
    [{ dtype: "floaty", shape: [1], data: "" }],
    [{ dtype: "float32", shape: ["x"], data: "" }],
    [{ dtype: "float32" }],
    [{ dtype: "uint8", shape: [1, 1], data: "AA==" }],
  ])("an array that is none is refused, saying where: %j", async (arr) => {
    const answer = await invoke({ api: "double", input: { arr } });
    expect(answer).toEqual(failure("INVALID_ARGUMENT", { error: expect.stringContaining("arr") }));
  });

  test("members that look like an array stay what they are where the contract has none", async () => {
    const value = { dtype: "uint8", shape: [1], data: "AA==" };
    expect(await invoke({ api: "plain", input: { value } })).toEqual({ output: value });
  });

  test("a picture and bytes as base64, back as a data URL and base64", async () => {
    const bytes = patternOf(1000);
    expect(await invoke({ api: "picture", input: { image: base64(bytes) } })).toEqual({
      output: `data:image/webp;base64,${base64(bytes)}`,
    });
    expect(await invoke({ api: "raw", input: { length: 5 } })).toEqual({ output: base64(patternOf(5)) });
  });

  test("a stream is answered with all its items, or with the error that ended it", async () => {
    expect(await invoke({ api: "items", input: { n: 2 } })).toEqual({
      output: [
        { n: 0, raw: "" },
        { n: 1, raw: "" },
      ],
    });
    expect(await invoke({ api: "items", input: { n: 3, failAt: 2 } })).toEqual(failure("INTERNAL"));
  });

  test("what the caller says of the call comes along", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const said = { callId: "call-7", idempotencyKey: "key", accept: "image/webp", traceparent };
    const { output } = await invoke({ api: "seen", ...said });
    expect(output).toMatchObject({ callId: "call-7", idempotencyKey: "key", accept: "image/webp" });
    expect(output.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
  });
});

describe("frames", () => {
  test("a frame is answered with a frame", async () => {
    const image = new ImageValue(patternOf(1001), "png");
    const { frame } = await invoke({ api: "picture", frame: framed({ image }) });
    expect(decodeFrame(Buffer.from(frame, "base64"))).toEqual(new ImageValue(patternOf(1001), "webp"));
  });

  test("a stream is answered with its items as they would come one by one, its error last", async () => {
    const { frame } = await invoke({ api: "items", frame: framed({ n: 3, failAt: 2 }) });
    const kinds: string[] = [];
    const body = Readable.from([Buffer.from(frame, "base64")]);
    for await (const { kind } of decodeItems(body, 2 ** 20)) kinds.push(kind);
    expect(kinds).toEqual(["value", "value", "error"]);
  });

  test("bytes that are no frame", async () => {
    expect(await invoke({ api: "picture", frame: "AAAA" })).toEqual(failure("INVALID_ARGUMENT"));
  });
});

describe("claim checks", () => {
  const path = (id: string, what: string): string => join(folder, "Door/calls", id, what);
  const put = async (id: string, bytes: Uint8Array | string): Promise<void> => {
    await mkdir(join(folder, "Door/calls", id), { recursive: true });
    await writeFile(path(id, "input"), bytes);
  };

  test("a stored frame is answered with a frame, a stored JSON with JSON", async () => {
    await put("frame-1", joinFrame(encodeFrame({ raw: patternOf(8_000_000) })));
    const { frame } = await invoke({ api: "measure", stored: "frame-1" });
    expect(decodeFrame(Buffer.from(frame, "base64"))).toBe(8_000_000);
    await put("json-1", JSON.stringify({ raw: base64(patternOf(8_000_000)) }));
    expect(await invoke({ api: "measure", stored: "json-1" })).toEqual({ output: 8_000_000 });
  });

  test.each(["frame", "input"] as const)("an output over 6 MB is stored in the form of the %s", async (form) => {
    const input = { length: 4_800_000 };
    const { stored } = await invoke({ api: "raw", [form]: form === "frame" ? framed(input) : input });
    const bytes = await readFile(path(stored, "output"));
    const output =
      form === "frame" ? decodeFrame(new Uint8Array(bytes)) : Buffer.from(JSON.parse(String(bytes)), "base64");
    expect(Buffer.compare(output as Uint8Array, patternOf(input.length))).toBe(0);
  });

  test("an output just under 6 MB is not", async () => {
    const answer = await invoke({ api: "raw", input: { length: 4_700_000 } });
    expect(JSON.stringify(answer).length).toBeLessThan(6 * 2 ** 20);
    expect(Object.keys(answer)).toEqual(["output"]);
  });

  test("one that is not there, is neither frame nor JSON, or would leave the folder", async () => {
    expect(await invoke({ api: "measure", stored: "nowhere" })).toEqual(failure("NOT_FOUND"));
    await put("odd", "odd");
    expect(await invoke({ api: "measure", stored: "odd" })).toEqual(failure("INVALID_ARGUMENT"));
    expect(await invoke({ api: "measure", stored: "../odd" })).toEqual(failure("INVALID_ARGUMENT"));
  });

  test("without a store, what is too large is refused and nothing is written", async () => {
    const before = await readdir(join(folder, "Door/calls"));
    const alone = lambdaHandler(door);
    const events = [
      { api: "raw", input: { length: 5_000_000 } },
      { api: "measure", stored: "json-1" },
    ];
    for (const event of [...events, { api: "items", input: { n: 1e9, size: 1_000_000 } }])
      expect(await alone(event, lambdaContext())).toEqual(failure("PAYLOAD_TOO_LARGE"));
    expect(await readdir(join(folder, "Door/calls"))).toEqual(before);
  });

  test("a stream without an end is stopped", async () => {
    const event = { api: "items", frame: framed({ n: 1e9, size: 8_000_000 }) };
    expect(await invoke(event)).toEqual(failure("PAYLOAD_TOO_LARGE"));
  });
});

describe("errors", () => {
  test.each([
    [{ api: "nope" }, "NOT_FOUND"],
    [{ api: "toString" }, "NOT_FOUND"],
    [{ api: "seen", input: 3 }, "INVALID_ARGUMENT"],
    [{ api: "seen", input: { x: 1 } }, "INVALID_ARGUMENT"],
    [{ api: "seen", timeout: 3 }, "INVALID_ARGUMENT"],
    [{ api: "seen", timeoutMs: -1 }, "INVALID_ARGUMENT"],
    [{ api: "seen", input: {}, frame: "" }, "INVALID_ARGUMENT"],
    [{ api: 3 }, "INVALID_ARGUMENT"],
    [{}, "INVALID_ARGUMENT"],
    [null, "INVALID_ARGUMENT"],
    ["seen", "INVALID_ARGUMENT"],
    [{ source: "aws.events", "detail-type": "Scheduled Event" }, "INVALID_ARGUMENT"],
  ])("%j is %s", async (event, code) => {
    expect(await invoke(event)).toEqual(failure(code));
  });

  test.each(["aws:sqs", "aws:s3"])("a batch of %s is not acknowledged", async (eventSource) => {
    await expect(handler({ Records: [{ eventSource, messageId: "1" }] }, lambdaContext())).rejects.toThrow(
      "sqsHandler",
    );
  });

  test("a service that does not start is asked again, and says so in between", async () => {
    let starts = 0;
    const Sick = service("Sick", { apis: Door.apis });
    const sick = deployable(Sick, async () => {
      if (++starts < 3) throw new Error("no disk");
      return (await door.load()) as never;
    });
    const ill = lambdaHandler(sick);
    expect(await ill({ probe: "ready" }, lambdaContext())).toEqual({ ready: false });
    expect(await ill({ api: "plain", input: { value: 1 } }, lambdaContext())).toEqual(failure("INTERNAL"));
    expect(await ill({ api: "plain", input: { value: 1 } }, lambdaContext())).toEqual({ output: 1 });
    expect(await ill({ probe: "ready" }, lambdaContext())).toEqual({ ready: true });
  });
});

describe("deadlines", () => {
  afterEach(() => void vi.useRealTimers());

  test.each([
    ["the service's", 120_000, undefined, 60_000],
    ["the caller's", 120_000, 5_000, 5_000],
    ["what Lambda leaves, less half a second", 20_000, 30_000, 19_500],
  ])("%s", async (_whose, remainingMs, timeoutMs, left) => {
    vi.useFakeTimers({ toFake: ["Date"] });
    expect(await invoke({ api: "seen", ...(timeoutMs && { timeoutMs }) }, remainingMs)).toMatchObject({
      output: { left },
    });
  });

  test("a call that is not done then is answered", async () => {
    expect(await invoke({ api: "wait" }, 600)).toEqual(failure("DEADLINE_EXCEEDED"));
  });

  test("a call that may take longer than a function runs is refused at once, unless its caller is less patient", async () => {
    const Slow = service("Slow", { traffic: { timeout: 1000 }, apis: Door.apis });
    const slow = lambdaHandler(deployable(Slow, async () => (await door.load()) as never));
    const refused = await slow({ api: "plain", input: { value: 1 } }, lambdaContext());
    expect(refused).toEqual(failure("INVALID_ARGUMENT", { error: expect.stringContaining("submit it as a task") }));
    const called = await slow({ api: "plain", input: { value: 1 }, timeoutMs: 600_000 }, lambdaContext());
    expect(called).toEqual({ output: 1 });
  });
});
