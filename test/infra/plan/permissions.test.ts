import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, it, vi } from "vitest";
import { z } from "zod";
import { encodeFrame } from "#shared/codec/frame.ts";
import type { ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { startConsumer } from "#shared/delivery/start-consumer.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { StoredAnswers } from "#shared/http/upload-answers.ts";
import { Uploads } from "#shared/http/uploads.ts";
import { type Apis, api, type CallContext, deployable, implement, service } from "#shared/index.ts";
import { ClaimChecks } from "#shared/lambda/claim-checks.ts";
import { deadLetterHandler } from "#shared/lambda/dead-letter-handler.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { lazyStore } from "#shared/store/lazy-store.ts";
import { Tasks } from "#shared/task/tasks.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import type { OutgoingCall } from "#shared/transport/transport.ts";
import { lambdaContext } from "../../lambda/lambda-context.ts";
import { Actor, guardedStore, type LaneKind, Lanes } from "./guarded-aws.ts";
import { planned, serviceOf } from "./planned.ts";

const apis = {
  run: api({ input: z.object({ text: z.string() }), output: z.string() }),
  fail: api({ input: z.object({ text: z.string() }), output: z.string() }),
  items: api({ input: z.object({}), output: z.string(), stream: true }),
};
const Helper = service("Helper", { apis });
const Gpu = service("Gpu", { apis, traffic: { concurrency: 4 }, resources: { gpu: 1 } });
const Entry = service("Entry", { apis, dependencies: [Helper, Gpu], traffic: { concurrency: 4 } });

/** Fails the first time, for now, and after so long that the run has a lease to give back. */
async function failOnce(tries: Map<string, number>, text: string): Promise<void> {
  tries.set(text, (tries.get(text) ?? 0) + 1);
  if (!text.startsWith("again") || tries.get(text)! > 1) return;
  await delay(2500);
  throw new ServiceError("UNAVAILABLE", "not now");
}

class GpuImpl extends implement(Gpu) implements Apis<typeof Gpu> {
  readonly #tries = new Map<string, number>();

  async run({ text }: { text: string }, { progress }: CallContext) {
    progress?.(0.5);
    await failOnce(this.#tries, text);
    if (text === "slow") await delay(1500);
    return `${text.length}`;
  }
  async fail(): Promise<string> {
    throw new ServiceError("DEADLINE_EXCEEDED", "too slow");
  }
  async *items() {
    yield "a";
    yield "b";
  }
}

const { plan } = planned([Helper, Gpu, Entry], "");
const entryPlan = serviceOf(plan, "Entry", "function");
const gpuPlan = serviceOf(plan, "Gpu", "gpu");
const actors: Record<string, Actor> = {
  entry: new Actor(entryPlan.permissions),
  entryQueue: new Actor(entryPlan.queueFunction!.permissions),
  worker: new Actor(gpuPlan.permissions),
  letters: new Actor(gpuPlan.queue!.deadLetterPermissions),
  helper: new Actor(serviceOf(plan, "Helper", "function").permissions),
};

const folder = await mkdtemp(join(tmpdir(), "tandem-permissions-"));
afterAll(() => rm(folder, { recursive: true }));
const disk = new DiskStore(folder);
const lanes = new Lanes();
const storeUrl = (actor: string): string => `file:/${actor}`;
const queueUrl = (actor: string, name: string, kind: LaneKind = "queue"): string =>
  `https://sqs.test/${actor}/${name}/${kind}`;
const openQueue = async (url: string) => {
  const [actor = "", name = "", kind = "queue"] = new URL(url).pathname.slice(1).split("/");
  return lanes.guarded(name, kind as LaneKind, actors[actor]!);
};
vi.mock("#shared/store/open-store.ts", () => ({
  openStore: async (url: string) => guardedStore(disk, actors[url.slice("file:/".length)]!),
}));
vi.mock("#shared/delivery/open-queue.ts", () => ({ openSqsQueue: (url: string) => openQueue(url) }));

const location = (actor: string, name: string) => ({
  transport: "sqs" as const,
  queueUrl: queueUrl(actor, name),
  priorityQueueUrl: queueUrl(actor, name, "priority-queue"),
  storeUrl: storeUrl(actor),
});

function call(changes: Partial<OutgoingCall> = {}): OutgoingCall {
  return {
    service: Gpu,
    api: "run",
    input: { text: "hello" },
    deadline: Date.now() + 20_000,
    signal: undefined,
    callId: randomUUID(),
    traceparent: "00-00000000000000000000000000000001-0000000000000001-01",
    idempotencyKey: undefined,
    accept: undefined,
    progress: undefined,
    ...changes,
  };
}

function eventOf(name: string, kind: LaneKind, messages: readonly ReceivedMessage[]): object {
  return {
    Records: messages.map(({ body, attributes, messageId, handle, receiveCount, sentAt }) => ({
      eventSource: "aws:sqs",
      eventSourceARN: `arn:aws:sqs:us-east-1:123456789012:${name}-${kind}`,
      messageId,
      receiptHandle: handle,
      body,
      attributes: { ApproximateReceiveCount: String(receiveCount), SentTimestamp: String(sentAt) },
      messageAttributes: Object.fromEntries(
        Object.entries(attributes).map(([key, value]) => [key, { stringValue: value }]),
      ),
    })),
  };
}

async function callOverTheQueue(): Promise<void> {
  const host = await ServiceHost.start(
    deployable(Gpu, async () => ({ default: GpuImpl })),
    new Discovery([], {}),
  );
  const gone = { worker: "gone", phase: "ready", phaseSince: 0, at: 0, places: 1, busy: 0, done: 0, jobs: {} };
  for (const name of ["Gpu", "Entry"]) await disk.put(`${name}/workers/gone`, [Buffer.from(JSON.stringify(gone))]);
  const urls = { url: queueUrl("worker", "Gpu"), priorityUrl: queueUrl("worker", "Gpu", "priority-queue") };
  const transport = new SqsTransport("Gpu", location("entry", "Gpu"), openQueue);
  // It asks how long a start takes before a worker has ever started: nothing is there yet.
  const early = transport.call(call({ progress: () => undefined }));
  await vi.waitFor(() => expect(actors.entry!.used).toContain("s3:ListBucket on store-list Gpu start-times"), 5_000);
  const consumer = await startConsumer(host, { urls, storeUrl: storeUrl("worker"), waitSeconds: 1 });
  expect(await early).toBe("5");
  expect(await transport.ready(AbortSignal.timeout(5_000))).toBe(true);
  expect(await transport.call(call({ priority: "high", input: { text: "x".repeat(2 ** 20) } }))).toBe("1048576");
  const again = (["normal", "high"] as const).map((priority) =>
    transport.call(call({ priority, input: { text: `again ${priority}` } })),
  );
  expect(await Promise.all(again)).toEqual(["12", "10"]);
  for (const _ of [1, 2])
    await expect(transport.call(call({ api: "fail", idempotencyKey: "key" }))).rejects.toThrow("too slow");
  const items = (await transport.call(call({ api: "items", input: {} }))) as AsyncIterable<string>;
  expect(await Array.fromAsync(items)).toEqual(["a", "b"]);
  const canceled = AbortSignal.timeout(300);
  await expect(transport.call(call({ input: { text: "slow" }, signal: canceled }))).rejects.toThrow();
  await transport.close();
  await consumer.stop(5);
}

class EntryImpl extends implement(Entry) implements Apis<typeof Entry> {
  readonly #tries = new Map<string, number>();

  async run({ text }: { text: string }) {
    await failOnce(this.#tries, text);
    return text;
  }
  async fail() {
    return "";
  }
  async *items() {
    yield "";
  }
}

async function submitTasks(): Promise<void> {
  await using server = createServer((_, response) => response.writeHead(204).end()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const callback = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  vi.stubEnv("TANDEM_WEBHOOK_SECRET", Buffer.from("a secret of some length").toString("base64"));
  vi.stubEnv("TANDEM_WEBHOOK_ALLOW_PRIVATE", "1");
  const store = lazyStore(storeUrl("entry"));
  const queue = await openQueue(queueUrl("entry", "Entry"));
  const priorityQueue = await openQueue(queueUrl("entry", "Entry", "priority-queue"));
  const tasks = new Tasks({ service: Entry, store, queue, priorityQueue });
  const one = await tasks.submit("run", { text: "a" }, { callback, idempotencyKey: "k" });
  await tasks.submit("run", { text: "again" });
  await tasks.submit("run", { text: "again and again" }, { priority: "high" });
  const other = await tasks.submit("run", { text: "b" });
  await tasks.status("run", one.task_id);
  await tasks.cancel("run", other.task_id);
  const run = sqsHandler(
    deployable(Entry, async () => ({ default: EntryImpl })),
    {
      storeUrl: storeUrl("entryQueue"),
      openQueue: async (url) => {
        const [, name = "", kind = ""] = /([A-Z][a-z]+)-([a-z-]+)$/.exec(url) ?? [];
        return await openQueue(queueUrl("entryQueue", name, kind as LaneKind));
      },
    },
  );
  const deliver = async (kind: LaneKind): Promise<void> => {
    await run(eventOf("Entry", kind, lanes.take("Entry", kind)), lambdaContext());
  };
  // A task whose record has expired, and its result has not.
  const lost = { ...sentMessage(one.task_id), id: "lost", kind: "callback", options: JSON.stringify({ callback }) };
  await disk.put("Entry/calls/lost/result", encodeFrame({ output: "x", finishedAt: Date.now() }).chunks);
  lanes
    .of("Entry", "queue")
    .push({ message: { body: "stored", attributes: lost }, count: 0, visibleAt: 0, handle: "" });
  for (const kind of ["queue", "priority-queue", "queue"] as const) await deliver(kind);
  expect(await tasks.result("run", one.task_id)).toBe("a");
  await tasks.retry("run", one.task_id);
  const keyed = new SqsTransport("Entry", location("entry", "Entry"), openQueue);
  const own = call({ service: Entry, idempotencyKey: "own", signal: AbortSignal.timeout(200) });
  await expect(keyed.call(own)).rejects.toThrow();
  await keyed.close();
  await tasks.submit("run", { text: "hello" }, { idempotencyKey: "own" });
  await expect(tasks.status("run", "nobody")).rejects.toThrow("has no task");
  vi.unstubAllEnvs();
}

/** Attributes of a task's message. */
function sentMessage(id: string) {
  return lanes.of("Entry", "queue").find(({ message }) => message.attributes.id === id)!.message.attributes;
}

async function uploadAndAnswer(): Promise<void> {
  const store = lazyStore(storeUrl("entry"));
  const uploads = new Uploads({ service: "Entry", store, maxBytes: 100 });
  const { upload } = await uploads.create({}, () => "");
  await expect(uploads.reader().read(upload.slice("upload:".length))).rejects.toThrow("nothing is there yet");
  await new StoredAnswers("Entry", store).put(Buffer.from("x"), "text/plain", () => "");
  const [caller, callee] = [
    new ClaimChecks("Helper", storeUrl("entry")),
    new ClaimChecks("Helper", storeUrl("helper")),
  ];
  await caller.put("a", "input", [Buffer.from("x")]);
  await callee.get("a", "input");
  await callee.put("a", "output", [Buffer.from("y")]);
  await caller.get("a", "output");
  for (const checks of [caller, callee]) await expect(checks.get("b", "output")).rejects.toThrow("the store has no");
  actors.entry!.use("lambda:InvokeFunction", { kind: "function", service: "Helper" });
}

async function answerDeadLetters(): Promise<void> {
  lanes.of("Gpu", "queue").length = 0;
  vi.stubEnv("TANDEM_SERVICES", JSON.stringify({ Gpu: location("letters", "Gpu") }));
  const handler = deadLetterHandler(Gpu, { storeUrl: storeUrl("letters") });
  const transport = new SqsTransport("Gpu", location("entry", "Gpu"), openQueue);
  const abandoned = transport.call(call({ signal: AbortSignal.timeout(5_000) })).catch((error: Error) => error.message);
  await vi.waitFor(() => expect(lanes.of("Gpu", "queue").length).toBeGreaterThan(0));
  const message = { ...lanes.take("Gpu", "queue")[0]!, receiveCount: 4 };
  // Sent once more, to be run alone; then given up; then answered in the meantime, and no letter after all.
  await handler(eventOf("Gpu", "dead-letter-queue", [message]), lambdaContext());
  const { id } = message.attributes;
  await disk.put(`Gpu/calls/${id}/alone`, []);
  await handler(eventOf("Gpu", "dead-letter-queue", [message]), lambdaContext());
  expect(await abandoned).toContain("was given up after 3 tries");
  await disk.delete(`Gpu/calls/${id}/result`);
  await disk.put(`Gpu/calls/${id}/result`, encodeFrame({ output: "x", finishedAt: Date.now() }).chunks);
  await handler(eventOf("Gpu", "dead-letter-queue", [message]), lambdaContext());
  await transport.close();
  vi.unstubAllEnvs();
}

/** What AWS does with a function's or a task's permissions, and not our code. */
const OF_AWS = [
  // Lambda receives for functions whose event source a queue is.
  ...["queue Entry", "priority-queue Entry"].flatMap((lane) =>
    ["DeleteMessage", "GetQueueAttributes", "ReceiveMessage"].map((action) => `entryQueue: sqs:${action} on ${lane}`),
  ),
  ...["DeleteMessage", "GetQueueAttributes", "ReceiveMessage"].map(
    (action) => `letters: sqs:${action} on dead-letter-queue Gpu`,
  ),
  // ECS's agent is asked, which asks ECS.
  "worker: ecs:GetTaskProtection on task-protection Gpu",
  "worker: ecs:UpdateTaskProtection on task-protection Gpu",
];

it("of each side of a call are what its code needs, and nothing besides", { timeout: 60_000 }, async () => {
  await callOverTheQueue();
  await submitTasks();
  await uploadAndAnswer();
  await answerDeadLetters();
  expect(Object.entries(actors).flatMap(([name, { denied }]) => denied.map((text) => `${name}: ${text}`))).toEqual([]);
  const { used } = actors.entry!;
  const unused = Object.entries(actors).flatMap(([name, actor]) =>
    // The two functions of a service call others with the same code.
    actor.unused
      .filter((text) => !(/ (Gpu|Helper)/.test(text) && name === "entryQueue" && used.has(text)))
      .map((text) => `${name}: ${text}`),
  );
  expect(unused.sort()).toEqual(OF_AWS.sort());
});
