import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { encodeFrame } from "#shared/codec/frame.ts";
import { type CallMessage, encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { deadLetters } from "#shared/delivery/dead-letters.ts";
import type { MessageQueue } from "#shared/delivery/message-queue.ts";
import { deadLetterHandler } from "#shared/lambda/dead-letter-handler.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { log } from "#shared/observability/log.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { Door, door } from "./fixture-service.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-sqs-"));
const storeUrl = `file:${folder}`;
const store = new DiskStore(folder);
const objects = new CallObjects(store, "Door");
afterAll(() => rm(folder, { recursive: true, force: true }));

const given: [url: string, handle: string, seconds: number][] = [];
afterEach(() => void given.splice(0));
const openQueue = async (url: string): Promise<MessageQueue> =>
  ({
    url,
    extend: async ([handle]: string[], seconds: number) => {
      given.push([url, handle!, seconds]);
      return [];
    },
  }) as unknown as MessageQueue;
const handler = sqsHandler(door, { storeUrl, openQueue });

/** A record as an event source mapping gives it. */
function record(id: string, api: string, input: object, more: Partial<CallMessage> = {}, receiveCount = 1): object {
  const call = { kind: "call", id, api, callId: id, deadline: Date.now() + 60_000, traceparent: "", ...more } as const;
  const { body, attributes } = encodeMessage(call, encodeFrame(input));
  return {
    messageId: `message-${id}`,
    receiptHandle: `handle-${id}`,
    body,
    attributes: { ApproximateReceiveCount: String(receiveCount), SentTimestamp: String(Date.now()) },
    messageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, stringValue]) => [name, { stringValue, dataType: "String" }]),
    ),
    md5OfBody: "0",
    eventSource: "aws:sqs",
    eventSourceARN: "arn:aws:sqs:eu-central-1:123456789012:Door",
    awsRegion: "eu-central-1",
  };
}
const failures = (...ids: string[]) => ({ batchItemFailures: ids.map((id) => ({ itemIdentifier: `message-${id}` })) });
const url = "https://sqs.eu-central-1.amazonaws.com/123456789012/Door";

describe("a service's queue", () => {
  test("calls are run, each has its result, none comes again", async () => {
    const Records = [
      record("a", "plain", { value: 1 }),
      record("b", "plain", { value: 2 }),
      record("c", "plain", {}, {}),
    ];
    expect(await handler({ Records }, lambdaContext())).toEqual(failures());
    expect((await objects.result("a"))?.output).toBe(1);
    expect((await objects.result("b"))?.output).toBe(2);
  });

  test("a call's own error is its result; one that passes comes again, after its back-off, until its last delivery", async () => {
    const Records = [
      record("own", "fail", { code: "CONFLICT" }),
      record("passing", "fail", { code: "UNAVAILABLE" }, {}, 2),
      record("last", "fail", { code: "UNAVAILABLE" }, {}, 3),
      record("fine", "plain", { value: 1 }),
    ];
    expect(await handler({ Records }, lambdaContext())).toEqual(failures("passing"));
    expect(given).toEqual([[url, "handle-passing", 2]]);
    expect((await objects.result("own"))?.error?.code).toBe("CONFLICT");
    expect(await objects.result("passing")).toBeUndefined();
    expect((await objects.result("last"))?.error?.code).toBe("UNAVAILABLE");
  });

  test("a message that is no call is on its way to the dead letters", async () => {
    const odd = { ...record("odd", "plain", {}), messageAttributes: {} };
    expect(await handler({ Records: [odd] }, lambdaContext())).toEqual(failures("odd"));
  });

  test("a call that is not done when the function's time is over is given back", async () => {
    const Records = [record("slow", "wait", {}), record("quick", "plain", { value: 1 })];
    expect(await handler({ Records }, lambdaContext(3_100))).toEqual(failures("slow"));
    expect(given).toEqual([[url, "handle-slow", 0]]);
    expect(await objects.result("slow")).toBeUndefined();
  });

  test("one that cannot be given back comes again all the same", async () => {
    const away = async (): Promise<MessageQueue> => Promise.reject(new Error("away"));
    const other = sqsHandler(door, { storeUrl, openQueue: away });
    const Records = [record("again", "fail", { code: "UNAVAILABLE" })];
    expect(await other({ Records }, lambdaContext())).toEqual(failures("again"));
  });

  test.each([{}, { Records: [] }, { Records: [{ eventSource: "aws:s3" }] }, { api: "plain" }])(
    "%j is no batch, and is not acknowledged",
    async (event) => {
      await expect(handler(event, lambdaContext())).rejects.toThrow(TypeError);
      await expect(deadLetterHandler(Door, { storeUrl })(event, lambdaContext())).rejects.toThrow(TypeError);
    },
  );

  test("without a store nothing is run", async () => {
    vi.stubEnv("TANDEM_STORE", "");
    await expect(sqsHandler(door)({ Records: [record("x", "plain", {})] }, lambdaContext())).rejects.toThrow(
      "TANDEM_STORE",
    );
    vi.unstubAllEnvs();
  });
});

describe("a dead-letter queue", () => {
  test("callers are answered, letters are kept, a call that has ended stays as it ended", async () => {
    await objects.putResult("ended", { output: 3, finishedAt: 1 });
    const Records = [record("dead", "plain", { value: 1 }, {}, 4), record("ended", "plain", { value: 3 }, {}, 4)];
    expect(await deadLetterHandler(Door, { storeUrl })({ Records }, lambdaContext())).toEqual(failures());
    const { error } = (await objects.result("dead"))!;
    expect(error).toMatchObject({ code: "UNAVAILABLE", error: expect.stringContaining("given up after 3 tries") });
    expect((await objects.result("ended"))?.output).toBe(3);
    expect((await deadLetters(store, "Door")).map(({ id }) => id)).toEqual(["dead"]);
  });

  test("one that cannot be answered comes again", async () => {
    const put = vi.spyOn(DiskStore.prototype, "put").mockRejectedValueOnce(new Error("full"));
    const Records = [record("first", "plain", {}), record("second", "plain", {})];
    const answer = await deadLetterHandler(Door, { storeUrl })({ Records }, lambdaContext());
    expect(answer.batchItemFailures).toHaveLength(1);
    put.mockRestore();
  });
});
