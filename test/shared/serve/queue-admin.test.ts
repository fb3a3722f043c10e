import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { encodeFrame } from "#shared/codec/frame.ts";
import { decodeMessage, encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import type { MessageQueue } from "#shared/delivery/message-queue.ts";
import { openSqsQueue } from "#shared/delivery/open-queue.ts";
import { api, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { withQueues } from "#shared/serve/queue-access.ts";
import { QueueAdmin } from "#shared/serve/queue-admin.ts";
import type { QueuePlaces } from "#shared/serve/queue-places.ts";
import { openStore } from "#shared/store/open-store.ts";
import { Tasks } from "#shared/task/tasks.ts";

log.level = "silent";

const Painter = service("Painter", {
  traffic: { timeout: 90 },
  apis: { draw: api({ input: z.strictObject({ prompt: z.string() }), output: z.string() }) },
});
const input = { prompt: "a cat" };

describe("a service's queues, by hand", () => {
  const data = mkdtempSync(join(tmpdir(), "tandem-admin-"));
  let places: QueuePlaces;
  let admin: QueueAdmin;
  let objects: CallObjects;
  let tasks: Tasks;
  let lanes: Record<"normal" | "priority" | "dead", MessageQueue>;
  const done = Promise.withResolvers<void>();
  let running: Promise<void>;

  beforeAll(async () => {
    const { promise, resolve } = Promise.withResolvers<QueuePlaces>();
    running = withQueues({ projectFolder: data, services: ["Painter"], data }, async (found) => {
      resolve(found);
      await done.promise;
    });
    places = await promise;
    admin = await QueueAdmin.open(Painter, places);
    const store = await openStore(places.storeUrl);
    objects = new CallObjects(store, "Painter");
    const { url, priorityUrl, deadLetterUrl } = places.services.Painter!;
    const [normal, priority, dead] = await Promise.all([url, priorityUrl, deadLetterUrl].map(openSqsQueue));
    lanes = { normal: normal!, priority: priority!, dead: dead! };
    tasks = new Tasks({ service: Painter, store, queue: lanes.normal, priorityQueue: lanes.priority });
  });
  afterAll(async () => {
    done.resolve();
    await running;
    await rm(data, { recursive: true });
  });

  /** Takes the only message off a lane and lets it die. */
  async function kill(lane: MessageQueue): Promise<string> {
    const [message] = await lane.receive(1, 0);
    const { id } = decodeMessage(message!).call;
    await lane.delete([message!.handle]);
    // Its last worker had nothing else in work.
    await objects.markAlone(id);
    await lanes.dead.send(message!);
    await expect.poll(() => objects.hasResult(id), { timeout: 10_000 }).toBe(true);
    return id;
  }

  it("are found by another command while one has them", async () => {
    expect(await withQueues({ projectFolder: data, services: ["Painter"], data }, async (found) => found)).toEqual(
      places,
    );
  });

  it("say how much waits, and in which lane", async () => {
    await tasks.submit("draw", input);
    await tasks.submit("draw", input, { priority: "high" });
    const [held] = await lanes.priority.receive(1, 0);
    expect(await admin.state()).toEqual({
      service: "Painter",
      normal: { visible: 1, inFlight: 0, delayed: 0 },
      priority: { visible: 0, inFlight: 1, delayed: 0 },
      deadLetters: 0,
    });
    await lanes.priority.extend([held!.handle], 0);
  });

  it("are purged: whoever waits is told, and nothing is left", async () => {
    const { task_id } = await tasks.submit("draw", input);
    expect(await admin.purge()).toBe(3);
    expect(await tasks.status("draw", task_id)).toMatchObject({ status: "canceled" });
    expect(await admin.state()).toMatchObject({
      normal: { visible: 0, inFlight: 0 },
      priority: { visible: 0, inFlight: 0 },
    });
  });

  it("take a task again in its own lane, within its own times", async () => {
    const { task_id } = await tasks.submit("draw", input, { priority: "high", timeout: 600, maxQueueTime: 300 });
    await kill(lanes.priority);
    expect(await tasks.status("draw", task_id)).toMatchObject({ status: "failed" });
    const before = Date.now();
    expect(await admin.redrive()).toEqual({ sent: [task_id], dropped: [] });
    expect(await tasks.status("draw", task_id)).toMatchObject({ status: "pending" });
    const [again] = await lanes.priority.receive(1, 0);
    const { deadline, startBy } = decodeMessage(again!).call;
    expect(deadline - before).toBeGreaterThan(599_000);
    expect(deadline - before).toBeLessThan(700_000);
    expect(startBy! - before).toBeGreaterThan(299_000);
    expect(startBy! - before).toBeLessThan(400_000);
    await lanes.priority.delete([again!.handle]);
  });

  it("take a call again within the service's timeout", async () => {
    const call = { kind: "call", id: "abc", api: "draw", callId: "c", deadline: 1, traceparent: "" } as const;
    await lanes.normal.send(encodeMessage(call, encodeFrame(input)));
    await kill(lanes.normal);
    expect(await admin.redrive("other")).toEqual({ sent: [], dropped: [] });
    const before = Date.now();
    expect(await admin.redrive("abc")).toEqual({ sent: ["abc"], dropped: [] });
    const [again] = await lanes.normal.receive(1, 0);
    expect(decodeMessage(again!).call.deadline - before).toBeGreaterThanOrEqual(90_000);
    expect(decodeMessage(again!).call.deadline - before).toBeLessThan(150_000);
    await lanes.normal.delete([again!.handle]);
  });
});
