import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { answerDeadLetters, deadLetters } from "#shared/delivery/dead-letters.ts";
import type { ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { log as ownLog } from "#shared/observability/log.ts";
import { type Client, clientOf } from "#shared/service/client.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type Fauxqs, startFauxqs } from "../aws/fauxqs.ts";
import { sqsClient } from "../aws/peer.ts";
import { Mortal } from "./dying-service.ts";

const SCRIPT = fileURLToPath(new URL("./dying-worker.ts", import.meta.url));
const MAX_RECEIVE_COUNT = 2;

// Failures are what these tests are about.
ownLog.level = "silent";

// The queue delivers at least once: unlike a connection, it has a call run again whose worker died, idempotent or not.
describe("sqs: a worker that dies", () => {
  let peer: Fauxqs;
  let client: SQSClient;
  beforeAll(async () => {
    peer = await startFauxqs();
    client = sqsClient(peer.endpoint);
  });
  afterAll(async () => {
    client.destroy();
    await peer.stop();
  });

  let folder: string;
  let log: string;
  let dead: SqsQueue;
  let lane: SqsQueue;
  let transport: SqsTransport;
  let mortal: Client<typeof Mortal>;
  let worker: ChildProcess;
  let deaths: number;
  let serving: boolean;

  async function startWorker(): Promise<void> {
    worker = fork(SCRIPT, [lane.url, `file:${folder}`, peer.endpoint]);
    worker.once("exit", () => {
      deaths++;
      if (serving) void startWorker();
    });
    await once(worker, "message");
  }
  const executions = (): number => readFileSync(log, "utf8").length;

  beforeEach(async ({ task }) => {
    folder = mkdtempSync(join(tmpdir(), "tandem-dying-"));
    log = join(folder, "log");
    // Longer than a poll, to which of a dead worker's the server may still give a message.
    const visibility = { visibilityTimeoutSeconds: 2 };
    dead = new SqsQueue(await ensureQueue(`${task.id}-dead`, visibility, { client }), { client });
    const deadLetter = { url: dead.url, maxReceiveCount: MAX_RECEIVE_COUNT };
    lane = new SqsQueue(await ensureQueue(task.id, { ...visibility, deadLetter }, { client }), { client });
    const location = { transport: "sqs", queueUrl: lane.url, storeUrl: `file:${folder}` } as const;
    transport = new SqsTransport(Mortal.name, location, async () => lane);
    mortal = clientOf(Mortal, async () => transport);
    deaths = 0;
    serving = true;
  });
  afterEach(async () => {
    serving = false;
    if (worker.exitCode === null && worker.signalCode === null) {
      worker.kill("SIGKILL");
      await once(worker, "exit");
    }
    await transport.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("has its call run by the next, though it is not idempotent; it may start after the call was sent", async () => {
    const call = mortal.once({ log });
    await vi.waitFor(async () => expect(await lane.depth()).toMatchObject({ visible: 1 }));
    await startWorker();
    expect(await call).toBe("alive");
    expect([executions(), deaths]).toEqual([2, 1]);
    await vi.waitFor(async () => expect(await lane.depth()).toMatchObject({ visible: 0, inFlight: 0 }), 10_000);
  });

  test("kills no more workers than the queue has deliveries; its caller hears UNAVAILABLE", async () => {
    await startWorker();
    const call = mortal.never({ log }).catch((error: unknown) => error);
    const letters: ReceivedMessage[] = [];
    await vi.waitFor(
      async () => {
        letters.push(...(await dead.receive(10, 0)));
        expect(letters).toHaveLength(1);
      },
      { timeout: 30_000, interval: 50 },
    );
    expect(executions()).toBe(MAX_RECEIVE_COUNT);
    const objects = new CallObjects(new DiskStore(folder), Mortal.name);
    await answerDeadLetters(letters, { service: Mortal.name, objects, tries: MAX_RECEIVE_COUNT });
    expect(await call).toEqual(expect.objectContaining({ code: "UNAVAILABLE", service: "Mortal" }));
    expect(await deadLetters(objects.store, Mortal.name)).toHaveLength(1);
    expect(deaths).toBe(MAX_RECEIVE_COUNT);
  });

  test("breaks off its stream with UNAVAILABLE after the items that came", async () => {
    await startWorker();
    const got: number[] = [];
    const reading = async (): Promise<void> => {
      for await (const n of mortal.stream({ log })) got.push(n);
    };
    await expect(reading()).rejects.toEqual(expect.objectContaining({ code: "UNAVAILABLE", service: "Mortal" }));
    expect(got).toEqual([1, 2]);
    expect(deaths).toBe(1);
  });
});
