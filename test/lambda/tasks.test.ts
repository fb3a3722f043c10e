import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import type { ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { log } from "#shared/observability/log.ts";
import { startFauxqs } from "../aws/fauxqs.ts";
import { type AwsPeer, awsEnv, sqsClient } from "../aws/peer.ts";
import { door } from "./fixture-service.ts";
import { payloadV2 } from "./http-events.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-tasks-"));
let peer: AwsPeer;
let queue: SqsQueue;
let url: LambdaHandler;
let consume: (event: object) => Promise<unknown>;
beforeAll(async () => {
  peer = await startFauxqs();
  for (const [name, value] of Object.entries(awsEnv(peer.endpoint))) vi.stubEnv(name, value);
  const client = sqsClient(peer.endpoint);
  const queueUrl = await ensureQueue("Door", { visibilityTimeoutSeconds: 300 }, { client });
  queue = new SqsQueue(queueUrl, { client });
  const location = { transport: "sqs", queueUrl, storeUrl: `file:${folder}` };
  vi.stubEnv("TANDEM_SERVICES", JSON.stringify({ Door: location }));
  url = lambdaHandler(door);
  const handler = sqsHandler(door);
  consume = (event) => handler(event, lambdaContext());
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await peer.stop();
  await rm(folder, { recursive: true, force: true });
});

const answerTo = async (method: string, path: string, input?: object, headers: Record<string, string> = {}) => {
  const body = input && { body: JSON.stringify(input) };
  const request = { method, path, headers: { "content-type": "application/json", ...headers }, ...body };
  return (await url(payloadV2(request), lambdaContext())) as { statusCode: number; body: string };
};
const ask = async (...request: Parameters<typeof answerTo>) => {
  const { statusCode, body } = await answerTo(...request);
  return { status: statusCode, json: JSON.parse(body) as Record<string, unknown> };
};

/** What the event source mapping does: hands messages over and deletes those that did not fail. */
async function deliver(): Promise<number> {
  const messages = await queue.receive(10, 5);
  const records = messages.map(({ messageId, handle, body, attributes, receiveCount, sentAt }: ReceivedMessage) => ({
    messageId,
    receiptHandle: handle,
    body,
    attributes: { ApproximateReceiveCount: String(receiveCount), SentTimestamp: String(sentAt) },
    messageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, stringValue]) => [name, { stringValue, dataType: "String" }]),
    ),
    eventSource: "aws:sqs",
    eventSourceARN: "arn:aws:sqs:us-east-1:000000000000:Door",
  }));
  const { batchItemFailures } = (await consume({ Records: records })) as {
    batchItemFailures: { itemIdentifier: string }[];
  };
  const failed = batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  await queue.delete(messages.flatMap(({ messageId, handle }) => (failed.includes(messageId) ? [] : [handle])));
  return failed.length;
}

test("a task that is submitted at a function's URL is run by the queue's function and fetched at the URL", async () => {
  const submitted = await ask("POST", "/plain/submit", { value: "later" });
  expect(submitted.json).toEqual({ task_id: expect.any(String), status: "pending" });
  const id = submitted.json.task_id;
  expect((await ask("GET", `/plain/status?task_id=${id}`)).json.status).toBe("pending");
  expect(await deliver()).toBe(0);
  expect((await ask("GET", `/plain/status?task_id=${id}`)).json.status).toBe("completed");
  expect((await ask("GET", `/plain/get?task_id=${id}`)).json).toBe("later");
});

test("a task is canceled, run again and followed at the URL", async () => {
  const { json } = await ask("POST", "/plain/submit", { value: "again" });
  expect((await ask("PUT", `/plain/cancel?task_id=${json.task_id}`)).json.status).toBe("canceled");
  const { json: retried } = await ask("POST", `/plain/retry?task_id=${json.task_id}`);
  expect(retried).toEqual({ task_id: expect.not.stringMatching(json.task_id as string), status: "pending" });
  while (Object.values(await queue.depth()).some((messages) => messages > 0)) expect(await deliver()).toBe(0);
  const { body } = await answerTo("GET", `/plain/events?task_id=${retried.task_id}`);
  expect(Buffer.from(body, "base64").toString()).toContain('event: result\ndata: {"status":"completed"');
  expect(await ask("GET", "/plain/status?task_id=nowhere")).toMatchObject({ status: 404, json: { code: "NOT_FOUND" } });
});

test("a call with a key takes the queue, and is computed once", async () => {
  const key = { "idempotency-key": "once" };
  const calls = Promise.all([1, 2].map(() => ask("POST", "/plain", { value: 5 }, key)));
  expect(await deliver()).toBe(0);
  expect(await calls).toEqual([1, 2].map(() => ({ status: 200, json: 5 })));
  expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 });
});

test("a call that fails for now is back after a second, not after the queue's five minutes", async () => {
  const { json } = await ask("POST", "/fail/submit", { code: "UNAVAILABLE" });
  expect([await deliver(), await deliver(), await deliver()]).toEqual([1, 1, 0]);
  expect((await ask("GET", `/fail/status?task_id=${json.task_id}`)).json.status).toBe("failed");
});
