import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { CallRunner } from "#shared/delivery/call-runner.ts";
import { Consumer, type ConsumerOptions, type Delivery, type Outcome } from "#shared/delivery/consumer.ts";
import type { MessageQueue, OutgoingMessage, QueueDepth, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { type Apis, api, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { type Fauxqs, startFauxqs } from "../../aws/fauxqs.ts";
import { sqsClient } from "../../aws/peer.ts";
import { Event } from "../../contract/gate.ts";

// Failures are what these tests are about.
log.level = "silent";

let peer: Fauxqs;
let client: SQSClient;
let names = 0;
const consumers: Consumer[] = [];
beforeAll(async () => {
  peer = await startFauxqs();
  client = sqsClient(peer.endpoint);
});
afterAll(async () => {
  // Together: each waits for its poll.
  await Promise.all(consumers.map((consumer) => consumer.stop(0)));
  client.destroy();
  await peer.stop();
});

/** A queue under test: counts requests, and fails or holds those a test says. */
class Lane implements MessageQueue {
  readonly url: string;
  readonly deletes: number[] = [];
  readonly extends: number[] = [];
  receives = 0;
  /** Runs before each request of the kind. */
  before: Partial<Record<"receive" | "extend" | "delete", (handles: readonly string[]) => Promise<void> | void>> = {};
  readonly #queue: SqsQueue;

  constructor(queue: SqsQueue) {
    this.#queue = queue;
    this.url = queue.url;
  }

  send = (message: OutgoingMessage): Promise<void> => this.#queue.send(message);
  depth = (): Promise<QueueDepth> => this.#queue.depth();
  settings = () => this.#queue.settings();
  purge = () => this.#queue.purge();
  close = () => this.#queue.close();

  async receive(max: number, waitSeconds: number): Promise<ReceivedMessage[]> {
    this.receives++;
    await this.before.receive?.([]);
    return this.#queue.receive(max, waitSeconds);
  }

  async extend(handles: readonly string[], seconds: number): Promise<string[]> {
    this.extends.push(seconds);
    await this.before.extend?.(handles);
    return this.#queue.extend(handles, seconds);
  }

  async delete(handles: readonly string[]): Promise<string[]> {
    this.deletes.push(handles.length);
    await this.before.delete?.(handles);
    return this.#queue.delete(handles);
  }
}

interface Lanes {
  readonly lane: Lane;
  readonly dead: SqsQueue;
}

/** A new queue, and its dead-letter queue. */
async function newLane({ visibility = 30, maxReceiveCount = 3, on = client } = {}): Promise<Lanes> {
  const dead = await ensureQueue(`consumer-${++names}-dead`, { visibilityTimeoutSeconds: 30 }, { client: on });
  const config = { visibilityTimeoutSeconds: visibility, deadLetter: { url: dead, maxReceiveCount } };
  const url = await ensureQueue(`consumer-${names}`, config, { client: on });
  return { lane: new Lane(new SqsQueue(url, { client: on })), dead: new SqsQueue(dead, { client: on }) };
}

async function consume(queue: MessageQueue, options: Omit<ConsumerOptions, "queue">): Promise<Consumer> {
  const consumer = new Consumer({ queue, waitSeconds: 1, ...options });
  await consumer.start();
  consumers.push(consumer);
  return consumer;
}

const message = (body: string): OutgoingMessage => ({ body, attributes: {} });

async function send(queue: MessageQueue, ...bodies: string[]): Promise<void> {
  for (const body of bodies) await queue.send(message(body));
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

/** A handler that keeps each message until a test lets it go, or the consumer stops. */
class Desk {
  readonly deliveries: Delivery[] = [];
  readonly #going = new Map<string, Event<Outcome>>();
  most = 0;
  working = 0;

  get bodies(): string[] {
    return this.deliveries.map(({ message: { body } }) => body);
  }

  go(body: string, outcome: Outcome = "done"): void {
    this.#of(body).happen(outcome);
  }

  readonly handle = async (delivery: Delivery): Promise<Outcome> => {
    this.deliveries.push(delivery);
    this.most = Math.max(this.most, ++this.working);
    const aborted = new Promise<Outcome>((resolve) => {
      delivery.signal.addEventListener("abort", () => resolve({ againAfter: 0 }));
    });
    try {
      return await Promise.race([this.#of(delivery.message.body).happened, aborted]);
    } finally {
      this.working--;
    }
  };

  #of(body: string): Event<Outcome> {
    const event = this.#going.get(body) ?? new Event<Outcome>();
    this.#going.set(body, event);
    return event;
  }
}

const waitFor = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 15_000, interval: 20 });
const empty = { visible: 0, inFlight: 0, delayed: 0 };

describe("a consumer", () => {
  it("receives what it has room for, and leaves the rest to others", async () => {
    const { lane } = await newLane();
    await send(lane, ...numbered(25));
    const desk = new Desk();
    const consumer = await consume(lane, { places: 3, handle: desk.handle });
    await waitFor(() => expect(desk.working).toBe(3));
    expect([await lane.depth(), consumer.inFlight]).toEqual([{ visible: 22, inFlight: 3, delayed: 0 }, 3]);
    for (const body of numbered(25)) desk.go(body);
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    expect(desk.bodies.sort()).toEqual(numbered(25).sort());
    expect(desk.most).toBe(3);
  });

  it("tells how long it has neither asked for messages nor ended one: while it is full and none ends", async () => {
    const { lane } = await newLane();
    await send(lane, "first", "second");
    const desk = new Desk();
    const consumer = await consume(lane, { places: 1, handle: desk.handle, waitSeconds: 1 });
    await waitFor(() => expect(desk.bodies).toHaveLength(1));
    await waitFor(() => expect(consumer.idleSeconds).toBeGreaterThan(1.5));
    desk.go(desk.bodies[0]!);
    await waitFor(() => expect(desk.bodies).toHaveLength(2));
    expect(consumer.idleSeconds).toBeLessThan(1.5);
    desk.go(desk.bodies[1]!);
    // Idle queues are asked again and again.
    await delay(3_000);
    expect(consumer.idleSeconds).toBeLessThan(2);
  });

  it("asks no queue for its settings that it was told", async () => {
    const { lane } = await newLane();
    lane.settings = () => Promise.reject(new Error("not allowed"));
    await send(lane, "last");
    const last = Promise.withResolvers<boolean>();
    await consume(lane, {
      places: 1,
      settings: { visibilityTimeout: 30, maxReceiveCount: 1 },
      handle: async (delivery) => {
        last.resolve(delivery.last);
        return "done";
      },
    });
    expect(await last.promise).toBe(true);
  });

  it("is held up by no slow message", async () => {
    const { lane } = await newLane();
    await send(lane, "slow", ...numbered(20));
    const desk = new Desk();
    for (const body of numbered(20)) desk.go(body);
    await consume(lane, { places: 2, handle: desk.handle });
    await waitFor(() => expect(new Set(desk.bodies).size).toBe(21));
    expect(desk.working).toBe(1);
    desk.go("slow");
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
  });

  it("keeps a message for as long as it is worked on, also when a heartbeat fails", async () => {
    const { lane } = await newLane({ visibility: 1 });
    await send(lane, "long");
    let beats = 0;
    lane.before.extend = () => {
      if (++beats === 2) throw new ServiceError("UNAVAILABLE", "away");
    };
    const desk = new Desk();
    await consume(lane, { places: 1, handle: desk.handle });
    const other = new Desk();
    await consume(lane, { places: 1, handle: other.handle });
    await waitFor(() => expect(desk.working + other.working).toBe(1));
    await delay(3_000);
    desk.go("long");
    other.go("long");
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    expect(desk.deliveries.length + other.deliveries.length).toBe(1);
    expect(beats).toBeGreaterThan(3);
  });

  it.each<[string, () => Promise<Outcome>]>([
    ["gives a message back", async () => ({ againAfter: 0 })],
    ["throws", () => Promise.reject(new Error("broken"))],
  ])("whose handler %s has it again, and it dies after its last delivery", async (_what, handle) => {
    const { lane, dead } = await newLane({ maxReceiveCount: 2 });
    await send(lane, "poison");
    const seen: [receiveCount: number, last: boolean][] = [];
    await consume(lane, {
      places: 1,
      handle: (delivery) => {
        seen.push([delivery.message.receiveCount, delivery.last]);
        return handle();
      },
    });
    await waitFor(async () => expect(await dead.depth()).toMatchObject({ visible: 1 }));
    expect(seen).toEqual([
      [1, false],
      [2, true],
    ]);
    expect(await lane.depth()).toEqual(empty);
  });

  it("empties the priority lane first", async () => {
    const [{ lane }, { lane: priorityQueue }] = [await newLane(), await newLane()];
    await send(lane, "n0", "n1", "n2");
    await send(priorityQueue, "p0", "p1", "p2");
    const order: string[] = [];
    await consume(lane, {
      priorityQueue,
      places: 1,
      handle: async ({ message: { body } }) => {
        order.push(body);
        return "done";
      },
    });
    await waitFor(() => expect(order).toHaveLength(6));
    expect(order.slice(0, 3).sort()).toEqual(["p0", "p1", "p2"]);
    await waitFor(async () => expect([await lane.depth(), await priorityQueue.depth()]).toEqual([empty, empty]));
  });

  it("lets another message in for one that only waits, ten at most", async () => {
    const { lane } = await newLane();
    await send(lane, ...numbered(12));
    const desk = new Desk();
    const consumer = await consume(lane, {
      places: 1,
      handle: (delivery) => {
        delivery.yieldPlace();
        delivery.yieldPlace();
        return desk.handle(delivery);
      },
    });
    await waitFor(() => expect(desk.working).toBe(10));
    const { receives } = lane;
    expect(await lane.depth()).toMatchObject({ visible: 2, inFlight: 10 });
    desk.go(desk.bodies[0]!);
    await waitFor(() => expect(desk.deliveries).toHaveLength(11));
    expect(lane.receives).toBe(receives + 1);
    expect(consumer.inFlight).toBe(10);
    for (const body of numbered(12)) desk.go(body);
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    expect(desk.most).toBe(10);
  });

  it("lets others in for a hundred that hold next to nothing while they wait", async () => {
    const { lane } = await newLane();
    const light = numbered(105).map((body) => `light${body}`);
    await send(lane, ...light);
    const desk = new Desk();
    const consumer = await consume(lane, {
      places: 1,
      handle: (delivery) => {
        if (delivery.message.body.startsWith("light")) delivery.yieldPlace(true);
        return desk.handle(delivery);
      },
    });
    await waitFor(() => expect(desk.working).toBe(100));
    const { receives } = lane;
    expect(await lane.depth()).toMatchObject({ visible: 5, inFlight: 100 });
    for (const body of desk.bodies.slice(0, 50)) desk.go(body);
    await waitFor(() => expect(desk.working).toBe(55));
    expect(lane.receives).toBeGreaterThan(receives);
    await send(lane, "call");
    await waitFor(() => expect(desk.bodies).toContain("call"));
    for (const body of [...light, "call"]) desk.go(body);
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    expect(consumer.inFlight).toBe(0);
  });

  it("works on nothing beside a message that is to be alone, and goes on after it", async () => {
    const { lane } = await newLane();
    const desk = new Desk();
    const alone: string[] = [];
    await send(lane, "0", "alone1", "alone2");
    await consume(lane, {
      places: 3,
      handle: async (delivery) => {
        if (delivery.message.body.startsWith("alone")) {
          expect(await delivery.alone()).toBe(true);
          alone.push(delivery.message.body);
        }
        return desk.handle(delivery);
      },
    });
    await waitFor(async () => expect(await lane.depth()).toMatchObject({ visible: 0, inFlight: 3 }));
    await send(lane, "1", "2");
    // It waits for what is in work.
    expect([desk.bodies, alone]).toEqual([["0"], []]);
    desk.go("0");
    await waitFor(() => expect(alone).toHaveLength(1));
    desk.go(alone[0]!);
    await waitFor(() => expect(alone).toHaveLength(2));
    expect(desk.most).toBe(1);
    desk.go(alone[1]!);
    for (const body of ["1", "2"]) desk.go(body);
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    expect(desk.bodies.sort()).toEqual(["0", "1", "2", "alone1", "alone2"]);
  });

  it("has a message alone at once only where nothing else is in work", async () => {
    const { lane } = await newLane();
    const desk = new Desk();
    const answers: boolean[] = [];
    await consume(lane, {
      places: 2,
      handle: async (delivery) => {
        answers.push(await delivery.alone(true));
        return desk.handle(delivery);
      },
    });
    await send(lane, "0");
    await waitFor(() => expect(desk.working).toBe(1));
    desk.go("0");
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
    const second = await newLane();
    await send(second.lane, "1", "2");
    const others = new Desk();
    await consume(second.lane, {
      places: 2,
      handle: async (delivery) => {
        await waitFor(async () => expect(await second.lane.depth()).toMatchObject({ visible: 0 }));
        answers.push(await delivery.alone(true));
        return others.handle(delivery);
      },
    });
    await waitFor(() => expect(others.working).toBe(2));
    expect(answers).toEqual([true, false, false]);
    for (const body of ["1", "2"]) others.go(body);
    await waitFor(async () => expect(await second.lane.depth()).toEqual(empty));
  });

  it("deletes finished messages ten at a time", async () => {
    const { lane } = await newLane();
    await send(lane, ...numbered(40));
    const desk = new Desk();
    const consumer = await consume(lane, { places: 40, handle: desk.handle });
    await waitFor(() => expect(desk.working).toBe(40));
    for (const body of numbered(40)) desk.go(body);
    await waitFor(() => expect(consumer.inFlight).toBe(0));
    expect(lane.deletes).toEqual([10, 10, 10, 10]);
    await waitFor(async () => expect(await lane.depth()).toEqual(empty));
  });

  it("says when it becomes busy and when it is not any more", async () => {
    const { lane } = await newLane();
    const desk = new Desk();
    const busy: boolean[] = [];
    await consume(lane, { places: 2, handle: desk.handle, onBusy: (is) => busy.push(is) });
    await send(lane, "a", "b");
    await waitFor(() => expect(desk.working).toBe(2));
    desk.go("a");
    await waitFor(() => expect(desk.working).toBe(1));
    expect(busy).toEqual([true]);
    desk.go("b");
    await waitFor(() => expect(busy).toEqual([true, false]));
  });

  it("cannot start without its queue", async () => {
    const { lane } = await newLane();
    const consumer = new Consumer({
      queue: new SqsQueue(`${lane.url}-none`, { client }),
      places: 1,
      handle: async () => "done",
    });
    await expect(consumer.start()).rejects.toMatchObject({ code: "INTERNAL" });
    await consumer.stop(0);
  });
});

describe("a stop", () => {
  it("finishes what is in work, deletes it, and takes nothing more", async () => {
    const { lane } = await newLane();
    await send(lane, "in work");
    const desk = new Desk();
    const consumer = await consume(lane, { places: 1, handle: desk.handle });
    await waitFor(() => expect(desk.working).toBe(1));
    await send(lane, "left");
    const stopped = consumer.stop(30);
    desk.go("in work");
    await stopped;
    expect(desk.bodies).toEqual(["in work"]);
    expect(await lane.depth()).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
  });

  it("gives back at once what the poll under way brings", async () => {
    const { lane } = await newLane();
    const desk = new Desk();
    const consumer = await consume(lane, { places: 1, handle: desk.handle, waitSeconds: 20 });
    await waitFor(() => expect(lane.receives).toBe(1));
    // So that the server has it before the message comes.
    await delay(200);
    const stopped = consumer.stop(30);
    await send(lane, "late");
    await stopped;
    expect(desk.deliveries).toEqual([]);
    expect(await lane.depth()).toEqual({ visible: 1, inFlight: 0, delayed: 0 });
  });

  it("without grace aborts what is in work and gives it back, to be had at once", async () => {
    const { lane } = await newLane();
    await send(lane, "a", "b");
    const desk = new Desk();
    const consumer = await consume(lane, { places: 3, handle: desk.handle });
    await waitFor(() => expect(desk.working).toBe(2));
    await consumer.stop(0);
    expect(desk.deliveries[0]!.signal.reason).toMatchObject({ code: "UNAVAILABLE" });
    expect(await lane.depth()).toEqual({ visible: 2, inFlight: 0, delayed: 0 });
  });

  it("gives a message back after the heartbeat under way, which would hide it again", async () => {
    const { lane } = await newLane({ visibility: 2 });
    await send(lane, "a");
    const beating = new Event();
    const answered = new Event();
    lane.before.extend = async () => {
      lane.before = {};
      beating.happen();
      await answered.happened;
    };
    const desk = new Desk();
    const consumer = await consume(lane, { places: 1, handle: desk.handle });
    await beating.happened;
    const stopped = consumer.stop(0);
    await waitFor(() => expect(desk.working).toBe(0));
    expect(lane.extends).toEqual([2]);
    answered.happen();
    await stopped;
    expect(lane.extends).toEqual([2, 0]);
    expect(await lane.depth()).toMatchObject({ visible: 1 });
  });
});

it("a server that crashes and comes back goes on, and no message is lost", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "tandem-consumer-"));
  let server = await startFauxqs({ dataDir });
  const own = sqsClient(server.endpoint);
  onTestFinished(async () => {
    await consumer.stop(0);
    own.destroy();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  const { lane } = await newLane({ visibility: 2, maxReceiveCount: 100, on: own });
  await send(lane, ...numbered(20));
  const desk = new Desk();
  const consumer = await consume(lane, { places: 4, handle: desk.handle });
  await waitFor(() => expect(desk.working).toBe(4));
  await server.kill();
  // These cannot be deleted now: they come again.
  for (const body of desk.bodies) desk.go(body);
  await waitFor(() => expect(desk.working).toBe(0));
  server = await startFauxqs({ dataDir, port: Number(new URL(server.endpoint).port) });
  for (const body of numbered(20)) desk.go(body);
  await waitFor(async () => expect(await lane.depth()).toEqual(empty));
  expect([...new Set(desk.bodies)].sort()).toEqual(numbered(20).sort());
});

it("a call whose message cannot be deleted comes again, and is not run again", async () => {
  const Once = service("Once", { apis: { run: api({ input: z.object({}), output: z.number() }) } });
  let runs = 0;
  class OnceImpl extends implement(Once) implements Apis<typeof Once> {
    run = (): number => ++runs;
  }
  const folder = mkdtempSync(join(tmpdir(), "tandem-consumer-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const objects = new CallObjects(new DiskStore(folder), "Once");
  const host = new ServiceHost(Once, new OnceImpl());
  await host.start();
  const { lane } = await newLane({ visibility: 1 });
  lane.before.delete = () => {
    lane.before = {};
    throw new ServiceError("UNAVAILABLE", "away");
  };
  const { handle } = new CallRunner({ host, objects });
  await consume(lane, { places: 1, handle });
  const deadline = Date.now() + 60_000;
  const call = { kind: "call", id: "once", api: "run", callId: "c", deadline, traceparent: "" } as const;
  await lane.send(encodeMessage(call, encodeFrame({})));
  await waitFor(() => expect(lane.deletes).toEqual([1, 1]));
  await waitFor(async () => expect(await lane.depth()).toEqual(empty));
  expect(runs).toBe(1);
  expect(await objects.result("once")).toMatchObject({ output: 1 });
});
