import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { encodeFrame } from "#shared/codec/frame.ts";
import { type CallMessage, encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { CallRunner, type CallRunnerOptions } from "#shared/delivery/call-runner.ts";
import type { Delivery, Outcome } from "#shared/delivery/consumer.ts";
import type { OutgoingMessage } from "#shared/delivery/message-queue.ts";
import { type Apis, api, type CallContext, type Input, implement, ServiceError, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { decodeItems } from "#shared/transport/frame-items.ts";
import { Event, newGate } from "../../contract/gate.ts";

// Failures are what these tests are about.
log.level = "silent";

const Worker = service("Worker", {
  apis: {
    work: api({ input: z.object({ n: z.number().default(1) }), output: z.unknown() }),
    count: api({ stream: true, input: z.object({ to: z.int() }), output: z.unknown() }),
  },
});

let runs: number;
/** What a call of `work` does. */
let work: (context: CallContext, n: number) => unknown;
let item: (context: CallContext, n: number) => unknown;

class WorkerImpl extends implement(Worker) implements Apis<typeof Worker> {
  work({ n }: Input<typeof Worker, "work">, context: CallContext): unknown {
    runs++;
    return work(context, n);
  }

  async *count({ to }: Input<typeof Worker, "count">, context: CallContext): AsyncGenerator<unknown> {
    runs++;
    for (let n = 0; n < to; n++) yield await item(context, n);
  }
}

let store: DiskStore;
let objects: CallObjects;
let ids = 0;

beforeEach(async () => {
  const folder = mkdtempSync(join(tmpdir(), "tandem-runner-"));
  store = new DiskStore(folder);
  objects = new CallObjects(store, "Worker");
  runs = 0;
  work = () => "done";
  item = (_, n) => n;
  return () => rm(folder, { recursive: true, force: true });
});

async function newRunner(options: Partial<CallRunnerOptions> = {}): Promise<CallRunner> {
  const host = new ServiceHost(Worker, new WorkerImpl());
  await host.start();
  return new CallRunner({ host, objects, progressSeconds: 0.05, ...options });
}

/** A call sent long ago, so that it is looked up before it is run. */
function newCall(more: Partial<CallMessage> = {}): CallMessage {
  return {
    kind: "call",
    id: `call-${++ids}`,
    api: "work",
    callId: "seen-in-logs",
    deadline: Date.now() + 60_000,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ...more,
  };
}

interface TestDelivery extends Delivery {
  readonly stopping: AbortController;
  /** Whether it holds next to nothing meanwhile. */
  readonly yielded: Event<boolean>;
}

function delivered(
  message: OutgoingMessage,
  { receiveCount = 1, sentAt = Date.now() - 5_000, last = false } = {},
): TestDelivery {
  const stopping = new AbortController();
  const yielded = new Event<boolean>();
  return {
    message: { ...message, messageId: "m", handle: "h", receiveCount, sentAt },
    last,
    signal: stopping.signal,
    stopping,
    yielded,
    yieldPlace: (light = false) => yielded.happen(light),
    alone: async () => true,
  };
}

function delivery(call: CallMessage, input: unknown = {}, more: Parameters<typeof delivered>[1] = {}): TestDelivery {
  return delivered(encodeMessage(call, encodeFrame(input)), more);
}

/** Items of a stream as its reader finds them. */
async function itemsOf(id: string): Promise<unknown[]> {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; ; i++) {
      const piece = await objects.items(id, i);
      if (!piece) return;
      yield piece;
    }
  };
  const got: unknown[] = [];
  try {
    for await (const one of decodeItems(pieces(), 2 ** 20))
      got.push(one.kind === "value" ? one.value : one.kind === "error" ? one.error.code : one.kind);
  } catch {
    got.push("broken off");
  }
  return got;
}

describe("a call", () => {
  it("is run, and its result stored with its times", async () => {
    const call = newCall();
    work = ({ callId, deadline }, n) => ({ callId, deadline, n });
    const before = Date.now();
    expect(await (await newRunner()).handle(delivery(call, { n: 7 }))).toBe("done");
    const result = await objects.result(call.id);
    expect(result?.output).toEqual({ callId: "seen-in-logs", deadline: call.deadline, n: 7 });
    expect(result?.startedAt).toBeGreaterThanOrEqual(before);
    expect(result?.finishedAt).toBeGreaterThanOrEqual(result!.startedAt!);
  });

  it("whose deadline has passed is answered without being run", async () => {
    const call = newCall({ deadline: Date.now() - 1 });
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    const result = await objects.result(call.id);
    expect(result).toMatchObject({ error: { code: "DEADLINE_EXCEEDED" } });
    expect(result).not.toHaveProperty("startedAt");
    expect(runs).toBe(0);
  });

  it("that waited longer than it may is answered without being run", async () => {
    const late = newCall({ startBy: Date.now() - 1 });
    const inTime = newCall({ startBy: Date.now() + 60_000 });
    const runner = await newRunner();
    await runner.handle(delivery(late));
    expect(await objects.result(late.id)).toMatchObject({ error: { code: "DEADLINE_EXCEEDED" } });
    expect(runs).toBe(0);
    await runner.handle(delivery(inTime));
    expect(await objects.result(inTime.id)).toMatchObject({ output: "done" });
  });

  it("that would take too long is answered without being run, once enough is known", async () => {
    let typical = { mean: 100, deviation: 10, count: 7 };
    const observer = { started: vi.fn(), finished: vi.fn(), typical: () => typical };
    const runner = await newRunner({ observer });
    await runner.handle(delivery(newCall()));
    expect(runs).toBe(1);
    typical = { ...typical, count: 8 };
    const call = newCall();
    await runner.handle(delivery(call));
    expect(await objects.result(call.id)).toMatchObject({
      error: {
        code: "DEADLINE_EXCEEDED",
        error: expect.stringMatching(/^Worker\.work takes 100\.0 s and .* not begun$/),
      },
    });
    // Two deviations below the mean it may be.
    typical = { ...typical, deviation: 30 };
    await runner.handle(delivery(newCall()));
    expect(runs).toBe(2);
    expect(observer.finished.mock.calls).toEqual([
      ["work", expect.any(Number)],
      ["work", expect.any(Number)],
    ]);
  });

  it("that was canceled before it began is not run", async () => {
    const call = newCall();
    await objects.putResult(call.id, { error: { code: "CANCELED", error: "no" }, finishedAt: 1 });
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    expect(runs).toBe(0);
    expect(await objects.result(call.id)).toMatchObject({ finishedAt: 1 });
  });

  it("whose result is there is not run, whatever its age says, when it comes again", async () => {
    const call = newCall();
    await objects.putResult(call.id, { output: 1, finishedAt: 1 });
    const again = delivery(call, {}, { receiveCount: 2, sentAt: Date.now() });
    expect(await (await newRunner()).handle(again)).toBe("done");
    expect(runs).toBe(0);
  });

  it("with a large input finds it in the store; one that is not there any more is INTERNAL", async () => {
    const [call, expired] = [newCall(), newCall()];
    await objects.putInput(call.id, encodeFrame({ n: 9 }));
    work = (_, n) => n;
    const runner = await newRunner();
    expect(await runner.handle(delivered(encodeMessage(call)))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ output: 9 });
    expect(await runner.handle(delivered(encodeMessage(expired)))).toBe("done");
    expect(await objects.result(expired.id)).toMatchObject({
      error: { code: "INTERNAL", error: "the call's input has expired" },
    });
  });

  it("whose output cannot travel fails at once", async () => {
    const call = newCall();
    work = () => new Map();
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ error: { code: "INVALID_ARGUMENT" } });
    expect(runs).toBe(1);
  });

  it.each<[string, OutgoingMessage]>([
    ["empty", { body: "", attributes: {} }],
    ["of somebody else's", { body: "junk", attributes: { kind: "mail" } }],
    [
      "with broken options",
      { ...encodeMessage(newCall()), attributes: { ...encodeMessage(newCall()).attributes, options: "{" } },
    ],
    ["with an id that is a path", { body: "", attributes: { ...encodeMessage(newCall()).attributes, id: "../x" } }],
    ["without a deadline", { body: "", attributes: { ...encodeMessage(newCall()).attributes, deadline: "soon" } }],
  ])("message %s goes to the dead letters", async (_what, message) => {
    expect(await (await newRunner()).handle(delivered(message))).toEqual({ againAfter: 0 });
    expect(runs).toBe(0);
  });

  it("as a message that is none does not spin where there is no dead-letter queue", async () => {
    const junk = delivered({ body: "junk", attributes: {} }, { receiveCount: 11 });
    expect(await (await newRunner()).handle(junk)).toEqual({ againAfter: 300 });
  });

  it("whose input is no frame, or no api's, is answered", async () => {
    const runner = await newRunner();
    const [broken, unknown, wrong] = [newCall(), newCall({ api: "__proto__" }), newCall()];
    const { attributes } = encodeMessage(broken);
    expect(await runner.handle(delivered({ body: "AAAA", attributes }))).toBe("done");
    expect(await objects.result(broken.id)).toMatchObject({ error: { code: "INVALID_ARGUMENT" } });
    expect(await runner.handle(delivery(unknown))).toBe("done");
    expect(await objects.result(unknown.id)).toMatchObject({ error: { code: "NOT_FOUND" } });
    expect(await runner.handle(delivery(wrong, { n: "one" }))).toBe("done");
    expect(await objects.result(wrong.id)).toMatchObject({ error: { code: "INVALID_ARGUMENT" } });
    expect(runs).toBe(0);
  });
});

describe("a failure", () => {
  it.each(["UNAVAILABLE", "RESOURCE_EXHAUSTED"] as const)(
    "%s of the service's own is tried again after longer and longer, and stored at the last delivery",
    async (code) => {
      const call = newCall();
      work = () => {
        throw new ServiceError(code, "not now");
      };
      const runner = await newRunner({ backoffSeconds: 2 });
      const outcomes: Outcome[] = [];
      for (const receiveCount of [1, 2, 3, 20])
        outcomes.push(await runner.handle(delivery(call, {}, { receiveCount })));
      expect(outcomes).toEqual([2, 4, 8, 300].map((againAfter) => ({ againAfter })));
      expect(await objects.hasResult(call.id)).toBe(false);
      expect(await runner.handle(delivery(call, {}, { receiveCount: 21, last: true }))).toBe("done");
      expect(await objects.result(call.id)).toMatchObject({ error: { code, error: "not now" } });
      expect(runs).toBe(5);
    },
  );

  it.each([
    ["a service behind", () => new ServiceError("UNAVAILABLE", "not now", { service: "Behind" }), "UNAVAILABLE"],
    ["an input", () => new ServiceError("INVALID_ARGUMENT", "no"), "INVALID_ARGUMENT"],
    ["a bug", () => new RangeError("secret"), "INTERNAL"],
  ])("of %s is stored at once", async (_what, error, code) => {
    const call = newCall();
    work = () => {
      throw error();
    };
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    const result = await objects.result(call.id);
    expect(result).toMatchObject({ error: { code }, startedAt: expect.any(Number) });
    expect(JSON.stringify(result)).not.toContain("secret");
  });

  it("leaves no lease behind: the next delivery runs at once", async () => {
    const call = newCall({ listened: true });
    work = ({ progress }) => {
      progress(0.5);
      throw new ServiceError("UNAVAILABLE", "not now");
    };
    const runner = await newRunner();
    expect(await runner.handle(delivery(call))).toEqual({ againAfter: 1 });
    expect(await objects.progress(call.id)).toBeUndefined();
    const again = delivery(call, {}, { receiveCount: 2 });
    expect(await runner.handle(again)).toEqual({ againAfter: 2 });
    expect(runs).toBe(2);
  });

  it("of the store is tried again while the result is put", async () => {
    const call = newCall();
    failPuts("/result", 3);
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ output: "done" });
    expect(runs).toBe(1);
  });

  it("of the store that goes on has the call delivered again", async () => {
    const call = newCall();
    const failing = failPuts("/result", Number.POSITIVE_INFINITY);
    const runner = await newRunner();
    expect(await runner.handle(delivery(call))).toEqual({ againAfter: 1 });
    failing.mockRestore();
    expect(await objects.hasResult(call.id)).toBe(false);
    expect(await runner.handle(delivery(call, {}, { receiveCount: 2 }))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ output: "done" });
  });

  it("of the store when a call is looked up has it delivered again", async () => {
    vi.spyOn(store, "has").mockRejectedValueOnce(new ServiceError("UNAVAILABLE", "away"));
    expect(await (await newRunner()).handle(delivery(newCall(), {}, { receiveCount: 2 }))).toEqual({ againAfter: 2 });
    expect(runs).toBe(0);
  });

  function failPuts(end: string, times: number) {
    const put = store.put.bind(store);
    return vi.spyOn(store, "put").mockImplementation(async (key, ...rest) => {
      if (key.endsWith(end) && times-- > 0) throw new ServiceError("UNAVAILABLE", "the store is away");
      return put(key, ...rest);
    });
  }
});

describe("another run of the call", () => {
  const lease = (more = {}) => ({ run: "other", startedAt: 1, at: Date.now(), sequence: 0, fraction: 0, ...more });

  it("that is alive is followed until its result comes", async () => {
    const call = newCall();
    await objects.putProgress(call.id, lease());
    const following = delivery(call);
    const outcome = (await newRunner()).handle(following);
    await following.yielded.happened;
    await objects.putResult(call.id, { output: "theirs", finishedAt: 1 });
    expect(await outcome).toBe("done");
    expect(runs).toBe(0);
  });

  it("that is alive is given back by a worker that stops", async () => {
    const call = newCall();
    await objects.putProgress(call.id, lease());
    const following = delivery(call);
    const outcome = (await newRunner()).handle(following);
    await following.yielded.happened;
    following.stopping.abort();
    expect(await outcome).toEqual({ againAfter: 0 });
    expect(runs).toBe(0);
  });

  it("that is silent is taken over", async () => {
    const call = newCall();
    await objects.putProgress(call.id, lease({ at: Date.now() - 15_001 }));
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ output: "done" });
  });

  it("in the same process is waited for: of three deliveries at once one runs", async () => {
    const call = newCall();
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal).then(() => "once");
    const runner = await newRunner();
    const deliveries = [1, 2, 3].map((receiveCount) => delivery(call, {}, { receiveCount }));
    const outcomes = deliveries.map((one) => runner.handle(one));
    await Promise.all(deliveries.slice(1).map(({ yielded }) => yielded.happened));
    await gate.entered.happened;
    gate.open();
    expect(await Promise.all(outcomes)).toEqual(["done", "done", "done"]);
    expect(runs).toBe(1);
  });

  it("in the same process that fails leaves the call to one of those who waited, not to all", async () => {
    const call = newCall();
    const first = newGate().gate;
    const second = newGate().gate;
    work = async ({ signal }) => {
      if (runs > 1) return second.pass(signal).then(() => "second");
      await first.pass(signal);
      throw new ServiceError("UNAVAILABLE", "not now");
    };
    const runner = await newRunner();
    const outcomes = [1, 2, 3].map((receiveCount) => runner.handle(delivery(call, {}, { receiveCount })));
    await first.entered.happened;
    first.open();
    await second.entered.happened;
    second.open();
    expect(await Promise.all(outcomes)).toEqual([{ againAfter: 1 }, "done", "done"]);
    expect(runs).toBe(2);
    expect(await objects.result(call.id)).toMatchObject({ output: "second" });
  });

  it("that is older is left to go on, and followed even at the last delivery", async () => {
    const call = newCall();
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal);
    // A message this young is run without a look.
    const young = delivery(call, {}, { sentAt: Date.now(), last: true });
    const outcome = (await newRunner()).handle(young);
    await gate.entered.happened;
    await objects.putProgress(call.id, lease());
    expect(await gate.aborted.happened).toMatchObject({ code: "UNAVAILABLE" });
    await young.yielded.happened;
    await objects.putResult(call.id, { output: "theirs", finishedAt: 1 });
    expect(await outcome).toBe("done");
    expect(runs).toBe(1);
  });

  it("that ended first has the result that stands", async () => {
    const call = newCall();
    work = () => objects.putResult(call.id, { output: "theirs", finishedAt: 1 }).then(() => "ours");
    expect(await (await newRunner()).handle(delivery(call))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ output: "theirs" });
  });
});

describe("a run", () => {
  it("is aborted when somebody cancels the call, whose result stands", async () => {
    const call = newCall();
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal);
    const outcome = (await newRunner()).handle(delivery(call));
    await gate.entered.happened;
    await objects.putResult(call.id, { error: { code: "CANCELED", error: "no" }, finishedAt: 1 });
    expect(await gate.aborted.happened).toMatchObject({ code: "CANCELED" });
    expect(await outcome).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({ error: { code: "CANCELED", error: "no" } });
  });

  it("of a worker that stops is given back, with its lease", async () => {
    const call = newCall();
    const { gate } = newGate();
    work = ({ signal }) => gate.pass(signal);
    const running = delivery(call);
    const outcome = (await newRunner()).handle(running);
    await vi.waitFor(async () => expect(await objects.progress(call.id)).toBeDefined(), 5_000);
    running.stopping.abort(new ServiceError("UNAVAILABLE", "the worker is stopping"));
    expect(await outcome).toEqual({ againAfter: 0 });
    expect(await objects.progress(call.id)).toBeUndefined();
    expect(await objects.hasResult(call.id)).toBe(false);
  });
});

describe("a stream", () => {
  const stream = (more: Partial<CallMessage> = {}) => newCall({ api: "count", ...more });

  it("is stored in order, in pieces, with its end", async () => {
    const call = stream();
    const { gate } = newGate();
    // The first item is there before the second one is made.
    item = async ({ signal }, n) => {
      if (n === 1) await gate.pass(signal);
      return { n, bytes: new Uint8Array(40_000).fill(n) };
    };
    const outcome = (await newRunner()).handle(delivery(call, { to: 30 }));
    await vi.waitFor(async () => expect(await itemsOf(call.id)).toHaveLength(2));
    gate.open();
    expect(await outcome).toBe("done");
    const values = await itemsOf(call.id);
    expect(values.slice(0, -1).map((value) => (value as { n: number }).n)).toEqual(
      Array.from({ length: 30 }, (_, n) => n),
    );
    expect(values.at(-1)).toBe("end");
    const { pieces } = (await objects.result(call.id))!.output as { pieces: number };
    expect(pieces).toBeGreaterThan(1);
    expect(await objects.items(call.id, pieces - 1)).toBeDefined();
    expect(await objects.items(call.id, pieces)).toBeUndefined();
  });

  it("that fails has its error as last item and as result, and is not tried again", async () => {
    const call = stream();
    item = (_, n) => {
      if (n === 2) throw new ServiceError("UNAVAILABLE", "out of order");
      return n;
    };
    expect(await (await newRunner()).handle(delivery(call, { to: 5 }))).toBe("done");
    expect(await itemsOf(call.id)).toEqual([0, 1, "UNAVAILABLE"]);
    expect(await objects.result(call.id)).toMatchObject({ error: { code: "UNAVAILABLE" } });
  });

  it("whose worker died in the middle is UNAVAILABLE, and not run again", async () => {
    const call = stream();
    await objects.putItems(call.id, 0, [new Uint8Array(8)]);
    expect(await (await newRunner()).handle(delivery(call, { to: 5 }, { receiveCount: 2 }))).toBe("done");
    expect(await objects.result(call.id)).toMatchObject({
      error: { code: "UNAVAILABLE", error: expect.stringContaining("died in the middle"), retry_after: 1 },
    });
    expect(runs).toBe(0);
  });

  it("that two workers run at once has the items of one, and the other waits for its end", async () => {
    const call = stream();
    const { gate } = newGate();
    let writer = 0;
    item = async ({ signal }, n) => {
      if (n === 0) return writer++;
      await gate.pass(signal);
      return 0;
    };
    const young = { sentAt: Date.now(), last: true };
    const [one, other] = [delivery(call, { to: 3 }, young), delivery(call, { to: 3 }, young)];
    const outcomes = [(await newRunner()).handle(one), (await newRunner()).handle(other)];
    await Promise.race([one.yielded.happened, other.yielded.happened]);
    gate.open();
    expect(await Promise.all(outcomes)).toEqual(["done", "done"]);
    expect(runs).toBe(2);
    const [first, ...rest] = await itemsOf(call.id);
    expect([0, 1]).toContain(first);
    expect(rest).toEqual([0, 0, "end"]);
    expect(await objects.result(call.id)).not.toHaveProperty("error");
  });

  it("that is stopped before its first item is left to the next worker", async () => {
    const call = stream();
    const { gate } = newGate();
    item = async ({ signal }, n) => {
      if (runs === 1) await gate.pass(signal);
      return n;
    };
    const runner = await newRunner();
    const stopped = delivery(call, { to: 2 });
    const outcome = runner.handle(stopped);
    await gate.entered.happened;
    stopped.stopping.abort(new ServiceError("UNAVAILABLE", "the worker is stopping"));
    expect(await outcome).toEqual({ againAfter: 0 });
    expect(await itemsOf(call.id)).toEqual(["broken off"]);
    expect(await runner.handle(delivery(call, { to: 2 }, { receiveCount: 2 }))).toBe("done");
    expect(await itemsOf(call.id)).toEqual([0, 1, "end"]);
  });

  it("whose piece cannot be written breaks off there, without a gap", async () => {
    const call = stream();
    const { gate } = newGate();
    item = async ({ signal }, n) => {
      if (n === 1) await gate.pass(signal);
      return n;
    };
    const put = objects.putItems.bind(objects);
    vi.spyOn(objects, "putItems").mockImplementation(async (id, index, chunks) => {
      if (index === 1) {
        vi.mocked(objects.putItems).mockRestore();
        throw new ServiceError("UNAVAILABLE", "the store is away");
      }
      return put(id, index, chunks);
    });
    const outcome = (await newRunner()).handle(delivery(call, { to: 50 }));
    await vi.waitFor(async () => expect(await itemsOf(call.id)).toEqual([0, "broken off"]));
    gate.open();
    expect(await outcome).toBe("done");
    expect(await itemsOf(call.id)).toEqual([0, "broken off"]);
    expect(await objects.result(call.id)).toMatchObject({ error: { code: "UNAVAILABLE" } });
  });
});

describe("a callback", () => {
  const wanted = (more: Partial<CallMessage> = {}) => newCall({ callback: "https://example.com/hook", ...more });

  it("is announced once its call has ended, also where it had before", async () => {
    const announce = vi.fn(async () => {});
    const runner = await newRunner({ announce });
    const [call, refused, failed] = [wanted(), wanted({ deadline: 1 }), wanted({ api: "none" })];
    for (const one of [call, refused, failed]) expect(await runner.handle(delivery(one))).toBe("done");
    expect(await runner.handle(delivery(newCall()))).toBe("done");
    expect(announce.mock.calls).toMatchObject([[{ id: call.id }], [{ id: refused.id }], [{ id: failed.id }]]);
    expect(await runner.handle(delivery(call, {}, { receiveCount: 2 }))).toBe("done");
    expect(announce).toHaveBeenCalledTimes(4);
    expect(runs).toBe(2);
  });

  it("is not announced while its call may still be run", async () => {
    const announce = vi.fn(async () => {});
    work = () => {
      throw new ServiceError("UNAVAILABLE", "not now");
    };
    expect(await (await newRunner({ announce })).handle(delivery(wanted()))).toEqual({ againAfter: 1 });
    expect(announce).not.toHaveBeenCalled();
  });

  it("that cannot be announced for a moment is, soon after", async () => {
    const announce = vi.fn(async () => {}).mockRejectedValueOnce(new ServiceError("UNAVAILABLE", "away"));
    expect(await (await newRunner({ announce })).handle(delivery(wanted()))).toBe("done");
    expect(announce).toHaveBeenCalledTimes(2);
  });

  it("is told from a message of its own, and again later where that failed", async () => {
    const callback = vi.fn(async () => {});
    const runner = await newRunner({ callback });
    const call = wanted({ kind: "callback" });
    expect(await runner.handle(delivered(encodeMessage(call)))).toBe("done");
    expect(callback.mock.calls).toMatchObject([[{ id: call.id, callback: "https://example.com/hook" }]]);
    callback.mockRejectedValueOnce(new ServiceError("UNAVAILABLE", "nobody there"));
    expect(await runner.handle(delivered(encodeMessage(call)))).toEqual({ againAfter: 60 });
    expect(runs).toBe(0);
  });

  it("keeps no place from calls, and is given back by a worker that stops", async () => {
    const telling = new Event();
    const runner = await newRunner({ callback: () => telling.happened });
    const message = delivered(encodeMessage(wanted({ kind: "callback" })));
    const outcome = runner.handle(message);
    expect(await message.yielded.happened).toBe(true);
    message.stopping.abort();
    expect(await outcome).toEqual({ againAfter: 0 });
  });
});
