import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hono } from "hono";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { startConsumer } from "#shared/delivery/start-consumer.ts";
import { createApp } from "#shared/http/app.ts";
import { type Apis, api, deployable, type Input, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { Tasks } from "#shared/task/tasks.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { startFauxqs } from "../../aws/fauxqs.ts";
import { sqsClient } from "../../aws/peer.ts";

log.level = "silent";

const Dice = service("Dice", {
  apis: {
    roll: api({ input: z.strictObject({ sides: z.int().min(2) }), output: z.number() }),
    fail: api({ input: z.strictObject({}), output: z.null() }),
    count: api({ stream: true, input: z.strictObject({ to: z.int() }), output: z.number() }),
  },
});
let executions = 0;
let broken = true;

class DiceImpl extends implement(Dice) implements Apis<typeof Dice> {
  async roll(_: Input<typeof Dice, "roll">): Promise<number> {
    executions++;
    return Math.random();
  }
  fail(): null {
    executions++;
    if (broken) throw new ServiceError("UNAVAILABLE", "out of order");
    return null;
  }
  async *count({ to }: Input<typeof Dice, "count">): AsyncGenerator<number> {
    executions++;
    for (let i = 0; i < to; i++) yield i;
  }
}

let app: Hono;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "tandem-keys-"));
  const peer = await startFauxqs();
  const client = sqsClient(peer.endpoint);
  const openQueue = async (url: string) => new SqsQueue(url, { client });
  const dead = await ensureQueue("Dice-dead", { visibilityTimeoutSeconds: 30 }, { client });
  const config = { visibilityTimeoutSeconds: 30, deadLetter: { url: dead, maxReceiveCount: 2 } };
  const queueUrl = await ensureQueue("Dice", config, { client });
  const discovery = new Discovery([], {});
  const host = await ServiceHost.start(
    deployable(Dice, async () => ({ default: DiceImpl })),
    discovery,
  );
  const storeUrl = `file:${folder}`;
  const consumer = await startConsumer(host, {
    urls: { url: queueUrl },
    storeUrl,
    openQueue,
    waitSeconds: 1,
    backoffSeconds: 0,
  });
  const ownQueue = new SqsTransport("Dice", { transport: "sqs", queueUrl, storeUrl }, openQueue);
  const tasks = new Tasks({ service: Dice, store: new DiskStore(folder), queue: await openQueue(queueUrl) });
  app = createApp(host, discovery, { ownQueue, tasks });
  closing.push(
    () => consumer.stop(0),
    () => ownQueue.close(),
    () => peer.stop(),
    () => rm(folder, { recursive: true, force: true }),
  );
});
afterAll(async () => {
  for (const close of closing) await close();
});

const post = async (path: string, body: object, key?: string) =>
  app.request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...(key && { "idempotency-key": key }) },
  });

it("calls with one key are computed once, whether at once or later", async () => {
  const before = executions;
  const answers = await Promise.all(Array.from({ length: 5 }, () => post("/roll", { sides: 6 }, "once")));
  answers.push(await post("/roll", { sides: 6 }, "once"));
  expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
  expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
  expect(executions).toBe(before + 1);
});

it("calls without a key, or with another, are computed each", async () => {
  const before = executions;
  await Promise.all([post("/roll", { sides: 6 }), post("/roll", { sides: 6 }), post("/roll", { sides: 6 }, "other")]);
  expect(executions).toBe(before + 3);
});

it("a key with another input is 409, with an unusable text 400", async () => {
  await post("/roll", { sides: 6 }, "input");
  const conflict = await post("/roll", { sides: 8 }, "input");
  expect([conflict.status, await conflict.json()]).toEqual([409, expect.objectContaining({ code: "CONFLICT" })]);
  expect((await post("/roll", { sides: 6 }, "with space")).status).toBe(400);
  expect((await post("/roll", { sides: 1 }, "wrong")).status).toBe(400);
});

it("a failure that passes is no result: the same key runs again", async () => {
  expect((await post("/fail", {}, "fail")).status).toBe(503);
  broken = false;
  expect((await post("/fail", {}, "fail")).status).toBe(200);
});

it("a submission with the key of a call finds its result", async () => {
  const called = await post("/roll", { sides: 20 }, "shared");
  const before = executions;
  const submitted = (await (await post("/roll/submit", { sides: 20 }, "shared")).json()) as { task_id: string };
  const got = await app.request(`/roll/get?task_id=${submitted.task_id}`);
  expect([got.status, await got.text()]).toEqual([200, await called.text()]);
  expect(executions).toBe(before);
});

it("a stream with a key is read again from the store", async () => {
  const before = executions;
  const first = await (await post("/count", { to: 3 }, "stream")).text();
  expect(first).toBe("012");
  expect(await (await post("/count", { to: 3 }, "stream")).text()).toBe(first);
  expect(executions).toBe(before + 1);
});
