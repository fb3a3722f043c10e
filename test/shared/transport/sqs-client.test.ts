import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { encodeFrame } from "#shared/codec/frame.ts";
import { decodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects, fingerprintOf, keyedId } from "#shared/delivery/call-objects.ts";
import { CallRunner } from "#shared/delivery/call-runner.ts";
import type { MessageQueue, OutgoingMessage, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { WorkerReports } from "#shared/delivery/worker-report.ts";
import { type Apis, api, type CallContext, type Input, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import type { OutgoingCall } from "#shared/transport/transport.ts";
import { newGate } from "../../contract/gate.ts";

// Failures are what these tests are about.
log.level = "silent";

const Echo = service("Echo", {
  apis: {
    echo: api({ input: z.object({ value: z.unknown() }), output: z.unknown() }),
    count: api({ stream: true, input: z.object({ to: z.int() }), output: z.int() }),
  },
});

let runs: number;
/** What a call of `echo` gives, and each item of `count`. */
let work: (context: CallContext, value: unknown) => unknown;

class EchoImpl extends implement(Echo) implements Apis<typeof Echo> {
  echo({ value }: Input<typeof Echo, "echo">, context: CallContext): unknown {
    runs++;
    return work(context, value);
  }

  async *count({ to }: Input<typeof Echo, "count">, context: CallContext): AsyncGenerator<number> {
    runs++;
    for (let n = 0; n < to; n++) yield (await work(context, n)) as number;
  }
}

/** A lane in memory, of which a caller sees only one side. */
class Lane implements MessageQueue {
  readonly url: string;
  readonly sent: OutgoingMessage[] = [];
  /** Runs before a message is taken, which it may refuse. */
  before: (() => void) | undefined;
  /** Runs after. */
  after: ((message: OutgoingMessage) => void) | undefined;
  reachable = true;

  constructor(url: string) {
    this.url = url;
  }

  get calls() {
    return this.sent.map((message) => decodeMessage(asReceived(message)));
  }

  async send(message: OutgoingMessage): Promise<void> {
    this.before?.();
    this.sent.push(message);
    this.after?.(message);
  }

  async depth() {
    if (!this.reachable) throw new ServiceError("UNAVAILABLE", "away");
    return { visible: 0, inFlight: 0, delayed: 0 };
  }

  receive = unused;
  extend = unused;
  delete = unused;
  settings = unused;
  purge = unused;
  close = async (): Promise<void> => {};
}

async function unused(): Promise<never> {
  throw new Error("a caller only sends");
}

function asReceived(message: OutgoingMessage): ReceivedMessage {
  return { ...message, messageId: "m", handle: "h", receiveCount: 1, sentAt: Date.now() };
}

let folder: string;
let objects: CallObjects;
let lane: Lane;
let priority: Lane;
let transport: SqsTransport;
let handle: CallRunner["handle"];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tandem-sqs-"));
  objects = new CallObjects(new DiskStore(folder), "Echo");
  [lane, priority] = [new Lane("http://queue/normal"), new Lane("http://queue/priority")];
  transport = newTransport();
  const host = new ServiceHost(Echo, new EchoImpl());
  await host.start();
  ({ handle } = new CallRunner({ host, objects, progressSeconds: 0.02 }));
  runs = 0;
  work = (_, value) => value;
});
afterEach(async () => {
  vi.restoreAllMocks();
  await transport.close();
  await rm(folder, { recursive: true, force: true });
});

function newTransport(more: { priorityQueueUrl?: string | undefined; storeUrl?: string } = {}): SqsTransport {
  const urls = { queueUrl: lane.url, priorityQueueUrl: priority.url, storeUrl: `file:${folder}`, ...more };
  return new SqsTransport("Echo", { transport: "sqs", ...urls }, async (url) =>
    url === priority.url ? priority : lane,
  );
}

/** From now on a message is handled as soon as it is sent: once, and never again. */
function serve(...lanes: Lane[]): void {
  for (const one of lanes)
    one.after = (message) => {
      const delivery = { message: asReceived(message), last: true, signal: new AbortController().signal };
      void handle({ ...delivery, yieldPlace: () => undefined, alone: async () => true });
    };
}

function outgoing(value: unknown, more: Partial<OutgoingCall> = {}): OutgoingCall {
  return {
    service: Echo,
    api: "echo",
    input: { value },
    deadline: Date.now() + 30_000,
    signal: undefined,
    callId: "seen-in-logs",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    idempotencyKey: undefined,
    accept: undefined,
    progress: undefined,
    ...more,
  };
}

async function readAll(more: Partial<OutgoingCall>): Promise<unknown[]> {
  const got: unknown[] = [];
  const items = transport.call(outgoing(0, { api: "count", input: { to: 3 }, ...more }));
  for await (const n of (await items) as AsyncIterable<unknown>) got.push(n);
  return got;
}

const waitFor = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 15_000, interval: 10 });
const code = (expected: string, more = {}) => expect.objectContaining({ code: expected, ...more });

describe("a call", () => {
  it("is one message that says all of it", async () => {
    serve(lane);
    const startBy = Date.now() + 20_000;
    const call = outgoing(7, { startBy, accept: "image/webp", progress: () => undefined });
    expect(await transport.call(call)).toBe(7);
    expect(lane.sent).toHaveLength(1);
    const { call: said, input } = lane.calls[0]!;
    const { deadline, callId, traceparent } = call;
    expect(said).toMatchObject({ kind: "call", api: "echo", callId, deadline, traceparent, startBy });
    expect(said).toMatchObject({ accept: "image/webp", listened: true });
    expect(input).toBeDefined();
    expect(await objects.input(said.id)).toBeUndefined();
  });

  it("with a large input sends it by the store", async () => {
    serve(lane);
    const bytes = new Uint8Array(800_000).fill(7);
    expect(await transport.call(outgoing(bytes))).toEqual(bytes);
    expect(lane.sent[0]!.body.length).toBeLessThan(100);
    const { call, input } = lane.calls[0]!;
    expect(input).toBeUndefined();
    expect((await objects.input(call.id))!.byteLength).toBeGreaterThan(800_000);
  });

  it("of high priority takes the lane that is emptied first, where there is one", async () => {
    serve(lane, priority);
    await transport.call(outgoing(1, { priority: "high" }));
    await transport.call(outgoing(2, { priority: "normal" }));
    expect([priority.sent.length, lane.sent.length]).toEqual([1, 1]);
    const single = newTransport({ priorityQueueUrl: undefined });
    await single.call(outgoing(3, { priority: "high" }));
    await single.close();
    expect([priority.sent.length, lane.sent.length]).toEqual([1, 2]);
  });

  it("that fails rejects with the service's error and its name", async () => {
    serve(lane);
    const detail = [{ path: ["a"], message: "why" }];
    work = () => {
      throw new ServiceError("CONFLICT", "no", { retryAfter: 3, detail });
    };
    const failed = code("CONFLICT", { service: "Echo", retryAfter: 3, detail });
    await expect(transport.call(outgoing(1))).rejects.toEqual(failed);
    work = () => {
      throw new ServiceError("UNAVAILABLE", "no", { service: "Behind" });
    };
    await expect(transport.call(outgoing(1))).rejects.toEqual(code("UNAVAILABLE", { service: "Behind" }));
  });

  it("waits for a queue that is away", async () => {
    serve(lane);
    let tries = 0;
    lane.before = () => {
      if (++tries < 4) throw new ServiceError("UNAVAILABLE", "away");
    };
    expect(await transport.call(outgoing(1))).toBe(1);
    expect(tries).toBe(4);
  });

  it("fails at once where the queue refuses", async () => {
    let tries = 0;
    lane.before = () => {
      tries++;
      throw new ServiceError("INTERNAL", "there is no queue");
    };
    await expect(transport.call(outgoing(1))).rejects.toEqual(code("INTERNAL"));
    expect(tries).toBe(1);
  });

  it("asks again where the store is away for a moment", async () => {
    serve(lane);
    const away = new ServiceError("UNAVAILABLE", "away");
    const result = vi.spyOn(CallObjects.prototype, "result").mockRejectedValueOnce(away);
    expect(await transport.call(outgoing(1))).toBe(1);
    expect(result.mock.calls.length).toBeGreaterThan(1);
  });
});

describe("a caller that goes away", () => {
  it("leaves a result that says so, and the work stops", async () => {
    serve(lane);
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal);
    const caller = new AbortController();
    const call = transport.call(outgoing(1, { signal: caller.signal }));
    await gate.entered.happened;
    caller.abort();
    await expect(call).rejects.toEqual(code("CANCELED"));
    expect(await gate.aborted.happened).toMatchObject({ code: "CANCELED" });
    expect(await objects.result(lane.calls[0]!.call.id)).toMatchObject({ error: { code: "CANCELED" } });
  });

  it("at its deadline leaves one, too, which a close waits for", async () => {
    const { gate } = newGate();
    const { putResult } = CallObjects.prototype;
    const slow = vi.spyOn(CallObjects.prototype, "putResult").mockImplementation(async function (
      this: CallObjects,
      ...result
    ) {
      await gate.pass(new AbortController().signal);
      return putResult.apply(this, result);
    });
    const failure = transport.call(outgoing(1, { deadline: Date.now() + 100 }));
    await expect(failure).rejects.toEqual(code("DEADLINE_EXCEEDED"));
    await gate.entered.happened;
    let closed = false;
    const closing = transport.close().then(() => {
      closed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(closed).toBe(false);
    gate.open();
    await closing;
    expect(slow).toHaveBeenCalledTimes(1);
    expect(await objects.result(lane.calls[0]!.call.id)).toMatchObject({ error: { code: "DEADLINE_EXCEEDED" } });
  });

  it("while its message is being sent leaves one: the message may have come", async () => {
    const caller = new AbortController();
    lane.after = () => {
      caller.abort();
      throw new ServiceError("UNAVAILABLE", "its answer was lost");
    };
    await expect(transport.call(outgoing(1, { signal: caller.signal }))).rejects.toEqual(code("CANCELED"));
    await transport.close();
    expect(await objects.result(lane.calls[0]!.call.id)).toMatchObject({ error: { code: "CANCELED" } });
  });

  it("from a stream that it is not reading stops it at once", async () => {
    serve(lane);
    const { gate } = newGate();
    work = async ({ signal }, n) => {
      if (n === 1) await gate.pass(signal);
      return n;
    };
    const caller = new AbortController();
    const call = outgoing(0, { api: "count", input: { to: 3 }, signal: caller.signal });
    const items = ((await transport.call(call)) as AsyncIterable<number>)[Symbol.asyncIterator]();
    expect(await items.next()).toEqual({ done: false, value: 0 });
    await gate.entered.happened;
    caller.abort();
    expect(await gate.aborted.happened).toMatchObject({ code: "CANCELED" });
    await expect(items.next()).rejects.toEqual(code("CANCELED"));
  });

  it("from a stream that has ended leaves its result", async () => {
    serve(lane);
    const caller = new AbortController();
    expect(await readAll({ signal: caller.signal })).toEqual([0, 1, 2]);
    caller.abort();
    await transport.close();
    const { id } = lane.calls[0]!.call;
    await waitFor(async () =>
      expect(await objects.result(id)).toMatchObject({ output: { pieces: expect.any(Number) } }),
    );
  });
});

describe("calls with one idempotency key", () => {
  const keyed = (value: unknown, more: Partial<OutgoingCall> = {}) =>
    outgoing(value, { idempotencyKey: "key", ...more });
  const id = keyedId("Echo", "echo", "key");
  const fingerprint = fingerprintOf(encodeFrame({ value: 1 }));
  /** A caller of long ago, or of now, that has died since. */
  const claimed = (ago = 0) => objects.claimKey(id, { fingerprint, createdAt: Date.now() - ago });
  /** Makes a call and waits until it has seen that another has its key. */
  async function join(call: OutgoingCall): Promise<{ answer: Promise<unknown> }> {
    const key = vi.spyOn(CallObjects.prototype, "key");
    const answer = transport.call(call);
    answer.catch(() => undefined);
    await waitFor(() => expect(key).toHaveBeenCalled());
    await key.mock.results[0]!.value;
    key.mockRestore();
    return { answer };
  }

  it("at once are one run, which answers all; later ones have its result", async () => {
    serve(lane);
    work = () => randomUUID();
    const other = newTransport();
    const answers = await Promise.all([transport, transport, other].map((one) => one.call(keyed(1))));
    answers.push(await other.call(keyed(1)));
    await other.close();
    expect(new Set(answers).size).toBe(1);
    expect([runs, lane.sent.length]).toEqual([1, 1]);
    expect(lane.calls[0]!.call).toMatchObject({ id, idempotencyKey: "key" });
  });

  it("but another input are a conflict", async () => {
    serve(lane);
    await transport.call(keyed(1));
    await expect(transport.call(keyed(2))).rejects.toEqual(code("CONFLICT", { status: 409, service: "Echo" }));
    expect(runs).toBe(1);
  });

  it.each(["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELED"] as const)(
    "run again after a failure that passes: %s",
    async (failure) => {
      serve(lane);
      await claimed();
      await objects.putResult(id, { error: { code: failure, error: "no" }, finishedAt: 1 });
      expect(await transport.call(keyed(1))).toBe(1);
    },
  );

  it("do not run again after one that would be the same", async () => {
    serve(lane);
    work = () => {
      throw new ServiceError("INVALID_ARGUMENT", "no");
    };
    for (const _ of [1, 2]) await expect(transport.call(keyed(1))).rejects.toEqual(code("INVALID_ARGUMENT"));
    expect(runs).toBe(1);
  });

  it("are run again once, however many find the same failure at once", async () => {
    serve(lane);
    await claimed();
    await objects.putResult(id, { error: { code: "UNAVAILABLE", error: "no" }, finishedAt: 1 });
    work = () => randomUUID();
    // All but the first to delete the failure do so when the first one's run has ended.
    const { deleteResult } = CallObjects.prototype;
    let deletes = 0;
    vi.spyOn(CallObjects.prototype, "deleteResult").mockImplementation(async function (this: CallObjects, one) {
      if (++deletes > 1) await waitFor(async () => expect(await this.result(one)).toHaveProperty("output"));
      return deleteResult.call(this, one);
    });
    const answers = await Promise.all([1, 2, 3].map(() => transport.call(keyed(1))));
    expect(new Set(answers).size).toBe(1);
    expect(runs).toBe(1);
  });

  it("are run again though one died who had begun to", async () => {
    serve(lane);
    await claimed();
    await objects.putResult(id, { error: { code: "UNAVAILABLE", error: "no" }, finishedAt: 1 });
    await objects.claimAgain(id, 1, { fingerprint, createdAt: Date.now() - 10_001 });
    expect(await transport.call(keyed(1))).toBe(1);
  });

  it("that stream run again after a failure, with none of its items", async () => {
    serve(lane);
    work = (_, n) => {
      if (n === 1) throw new ServiceError("UNAVAILABLE", "not now");
      return n;
    };
    await expect(readAll({ idempotencyKey: "key" })).rejects.toEqual(code("UNAVAILABLE"));
    await waitFor(async () => expect(await objects.hasResult(lane.calls[0]!.call.id)).toBe(true));
    work = (_, n) => (n as number) + 10;
    expect(await readAll({ idempotencyKey: "key" })).toEqual([10, 11, 12]);
  });

  it("whose sender died before it sent are sent by who comes later", async () => {
    serve(lane);
    await claimed(10_001);
    expect(await transport.call(keyed(1))).toBe(1);
    expect(lane.sent).toHaveLength(1);
  });

  it("whose sender has only just come are waited for", async () => {
    serve(lane);
    await claimed();
    const { answer } = await join(keyed(1));
    await objects.putResult(id, { output: "theirs", finishedAt: 1 });
    expect(await answer).toBe("theirs");
    expect(lane.sent).toEqual([]);
  });

  it("whose sender died are sent by one who waited for it", async () => {
    serve(lane);
    await claimed();
    const { answer } = await join(keyed(1));
    // Ten seconds pass.
    for (const clock of [performance, Date]) {
      const now = clock.now.bind(clock);
      vi.spyOn(clock, "now").mockImplementation(() => now() + 10_001);
    }
    expect(await answer).toBe(1);
    expect(lane.sent).toHaveLength(1);
  });

  it("are not given up because the one who sent goes away", async () => {
    serve(lane);
    const { gate } = newGate();
    work = async ({ signal }) => {
      await gate.pass(signal);
      return "done";
    };
    const caller = new AbortController();
    const first = transport.call(keyed(1, { signal: caller.signal }));
    await gate.entered.happened;
    const { answer } = await join(keyed(1));
    caller.abort();
    await expect(first).rejects.toEqual(code("CANCELED"));
    // The work is done by the first run, if it goes on, or by another.
    gate.open();
    expect(await answer).toBe("done");
  });

  it("are not given up because one who joined goes away", async () => {
    serve(lane);
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal).then(() => "done");
    const first = transport.call(keyed(1));
    await gate.entered.happened;
    const other = newTransport();
    await expect(other.call(keyed(1, { deadline: Date.now() + 100 }))).rejects.toEqual(code("DEADLINE_EXCEEDED"));
    await other.close();
    expect(await objects.hasResult(id)).toBe(false);
    gate.open();
    expect(await first).toBe("done");
  });

  it("whose sender could not send can be made again at once", async () => {
    lane.before = () => {
      throw new ServiceError("INTERNAL", "there is no queue");
    };
    await expect(transport.call(keyed(1))).rejects.toEqual(code("INTERNAL"));
    await waitFor(async () => expect(await objects.hasResult(id)).toBe(true));
    lane.before = undefined;
    serve(lane);
    expect(await transport.call(keyed(1))).toBe(1);
  });
});

describe("ready", () => {
  const ready = (): Promise<boolean> => transport.ready(AbortSignal.timeout(10_000));
  async function report(worker: string, phase: "ready" | "loading", at = Date.now()): Promise<void> {
    const load = { places: 1, busy: 0, done: 0, jobs: {} };
    await new WorkerReports(objects.store, "Echo").put({ worker, phase, phaseSince: at, at, ...load });
  }

  it("is as the workers say, and as the queue where none says anything", async () => {
    expect(await ready()).toBe(true);
    lane.reachable = false;
    expect(await ready()).toBe(false);
    await report("one", "loading");
    expect(await ready()).toBe(false);
    await report("two", "ready");
    expect(await ready()).toBe(true);
  });

  it("believes no worker that has long been silent", async () => {
    await report("one", "loading", Date.now() - 60_000);
    expect(await ready()).toBe(true);
  });

  it("never throws", async () => {
    const lost = newTransport({ storeUrl: "ftp://nowhere" });
    expect(await lost.ready(AbortSignal.timeout(1_000))).toBe(false);
    await lost.close();
  });
});
