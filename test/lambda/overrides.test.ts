import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { encodeFrame } from "#shared/codec/frame.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { deadLetters } from "#shared/delivery/dead-letters.ts";
import { deadLetterHandler } from "#shared/lambda/dead-letter-handler.ts";
import { lambdaHandler } from "#shared/lambda/handler.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { log } from "#shared/observability/log.ts";
import { overridesFromEnvironment } from "#shared/service/overrides.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { Door, door } from "./fixture-service.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-overrides-"));
const storeUrl = `file:${folder}`;
const store = new DiskStore(folder);
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => void vi.unstubAllEnvs());

function batch(id: string, api: string, input: object, receiveCount = 1): object {
  const deadline = Date.now() + 60_000;
  const call = { kind: "call", id, api, callId: id, deadline, traceparent: "" } as const;
  const { body, attributes } = encodeMessage(call, encodeFrame(input));
  const record = {
    messageId: id,
    receiptHandle: id,
    body,
    attributes: { ApproximateReceiveCount: String(receiveCount), SentTimestamp: String(Date.now()) },
    messageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, stringValue]) => [name, { stringValue, dataType: "String" }]),
    ),
    eventSource: "aws:sqs",
    eventSourceARN: "arn:aws:sqs:eu-central-1:123456789012:Door",
  };
  return { Records: [record] };
}

test("a function's calls end with the timeout that its deployment gives it", async () => {
  const left = async (): Promise<number> => {
    const answer = (await lambdaHandler(door)({ api: "seen", input: {} }, lambdaContext(600_000))) as {
      output: { left: number };
    };
    return answer.output.left;
  };
  expect(await left()).toBeLessThanOrEqual(60_000);
  vi.stubEnv("TANDEM_OVERRIDES", '{"timeout":300}');
  expect(await left()).toBeGreaterThan(200_000);
});

test("a function refuses what is over its deployment's limit", async () => {
  vi.stubEnv("TANDEM_OVERRIDES", '{"maxConcurrency":1}');
  const handler = lambdaHandler(door);
  const first = handler({ api: "wait", input: {}, timeoutMs: 500 }, lambdaContext());
  await handler({ probe: "ready" }, lambdaContext());
  expect(await handler({ api: "plain", input: { value: 1 } }, lambdaContext())).toMatchObject({
    error: { code: "RESOURCE_EXHAUSTED" },
  });
  expect(await first).toMatchObject({ error: { code: "DEADLINE_EXCEEDED" } });
});

test("a queue's function knows after how many deliveries a message is given up, and its dead-letter function says so", async () => {
  const objects = new CallObjects(store, "Door");
  const event = (id: string) => batch(id, "fail", { code: "UNAVAILABLE" }, 3);
  const openQueue = () => Promise.reject(new Error("away"));
  await sqsHandler(door, { storeUrl, openQueue })(event("three"), lambdaContext());
  expect((await objects.result("three"))?.error?.code).toBe("UNAVAILABLE");

  vi.stubEnv("TANDEM_OVERRIDES", '{"maxReceiveCount":5}');
  await sqsHandler(door, { storeUrl, openQueue })(event("five"), lambdaContext());
  expect(await objects.result("five")).toBeUndefined();
  await deadLetterHandler(Door, { storeUrl })(event("five"), lambdaContext());
  expect(await deadLetters(store, "Door")).toMatchObject([{ reason: expect.stringContaining("5") }]);
});

test.each(["{", "[]", '{"timeout":0}', '{"timeOut":1}', '{"maxConcurrency":1.5}'])("%s is no overrides", (text) => {
  expect(() => overridesFromEnvironment(text)).toThrow(/^TANDEM_OVERRIDES must be JSON such as/);
});
