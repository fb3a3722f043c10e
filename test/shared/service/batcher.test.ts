import { describe, expect, test } from "vitest";
import { ServiceError } from "#shared/errors/service-error.ts";
import { log } from "#shared/observability/log.ts";
import { Batcher } from "#shared/service/batcher.ts";
import { type CallContext, currentContext, withContext } from "#shared/service/context.ts";

function contextOf(callId = "call", signal: AbortSignal = new AbortController().signal): CallContext {
  return {
    signal,
    deadline: Date.now() + 60_000,
    callId,
    traceparent: "",
    idempotencyKey: undefined,
    accept: undefined,
    log,
    progress: () => undefined,
    warn: () => undefined,
    listened: false,
  };
}

/** A batcher whose batches end when the test says so. */
function heldBatcher(options: { maxBatchSize?: number; maxLatencyMs?: number } = {}) {
  const batches: {
    inputs: unknown[];
    context: CallContext;
    end: (outputs?: unknown) => void;
    fail: (error: Error) => void;
  }[] = [];
  const batcher = new Batcher("S", "a", { maxBatchSize: 4, maxLatencyMs: 60_000, ...options }, (inputs, context) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
    const echo = inputs.map((input) => `out ${input}`);
    batches.push({ inputs, context, end: (outputs = echo) => resolve(outputs as unknown[]), fail: reject });
    return promise;
  });
  return { batcher, batches };
}

const settled = async (calls: Promise<unknown>[]): Promise<unknown[]> =>
  (await Promise.allSettled(calls)).map((one) =>
    one.status === "fulfilled" ? one.value : (one.reason as ServiceError).code,
  );

describe("batches", () => {
  test("a call to an idle batcher runs at once, alone", async () => {
    const { batcher, batches } = heldBatcher();
    const call = batcher.submit(1, contextOf());
    expect(batches.map(({ inputs }) => inputs)).toEqual([[1]]);
    batches[0]!.end();
    expect(await call).toBe("out 1");
  });

  test("calls one after the other are each alone and at once, whatever was learned", async () => {
    const { batcher, batches } = heldBatcher();
    for (let i = 0; i < 20; i++) {
      const call = batcher.submit(i, contextOf());
      await expect.poll(() => batches.length, { interval: 1 }).toBe(i + 1);
      batches[i]!.end();
      expect(await call).toBe(`out ${i}`);
    }
  });

  test("calls that come while a batch runs go together, in order, up to the limit", async () => {
    const { batcher, batches } = heldBatcher();
    const calls = Array.from({ length: 10 }, (_, i) => batcher.submit(i, contextOf()));
    for (let batch = 0; batch < 4; batch++) {
      await expect.poll(() => batches.length, { interval: 1 }).toBe(batch + 1);
      batches[batch]!.end();
    }
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 10 }, (_, i) => `out ${i}`));
    expect(batches.map(({ inputs }) => inputs)).toEqual([[0], [1, 2, 3, 4], [5, 6, 7, 8], [9]]);
  });

  test("a failing batch fails its members only", async () => {
    const { batcher, batches } = heldBatcher({ maxBatchSize: 2 });
    const calls = Array.from({ length: 5 }, (_, i) => batcher.submit(i, contextOf()));
    batches[0]!.end();
    await expect.poll(() => batches.length, { interval: 1 }).toBe(2);
    batches[1]!.fail(new ServiceError("CONFLICT", "no"));
    await expect.poll(() => batches.length, { interval: 1 }).toBe(3);
    batches[2]!.end();
    expect(await settled(calls)).toEqual(["out 0", "CONFLICT", "CONFLICT", "out 3", "out 4"]);
  });

  test.each([
    ["too few outputs", [1]],
    ["too many outputs", [1, 2, 3]],
    ["no list", "12"],
  ])("%s fail the batch", async (_what, outputs) => {
    const { batcher, batches } = heldBatcher();
    const first = batcher.submit(0, contextOf());
    const calls = [batcher.submit(1, contextOf()), batcher.submit(2, contextOf())];
    batches[0]!.end();
    await first;
    await expect.poll(() => batches.length, { interval: 1 }).toBe(2);
    batches[1]!.end(outputs);
    expect(await settled(calls)).toEqual(["INTERNAL", "INTERNAL"]);
  });

  test("a method that throws at once fails the batch, and the next one runs", async () => {
    let broken = true;
    const batcher = new Batcher("S", "a", { maxBatchSize: 4, maxLatencyMs: 60_000 }, (inputs) => {
      if (broken) throw new ServiceError("CONFLICT", "no");
      return Promise.resolve(inputs);
    });
    await expect(batcher.submit(1, contextOf())).rejects.toMatchObject({ code: "CONFLICT" });
    broken = false;
    expect(await batcher.submit(2, contextOf())).toBe(2);
  });
});

describe("members that leave", () => {
  test("a waiting call that is aborted is not run", async () => {
    const { batcher, batches } = heldBatcher();
    const leaver = new AbortController();
    const calls = [
      batcher.submit(0, contextOf()),
      batcher.submit(1, contextOf("b", leaver.signal)),
      batcher.submit(2, contextOf()),
    ];
    // Listened to at once: the one that leaves fails before the others end.
    const ends = settled(calls);
    leaver.abort(new ServiceError("CANCELED", "gone"));
    batches[0]!.end();
    await expect.poll(() => batches.length, { interval: 1 }).toBe(2);
    batches[1]!.end();
    expect(await ends).toEqual(["out 0", "CANCELED", "out 2"]);
    expect(batches[1]!.inputs).toEqual([2]);
  });

  test("a running batch is aborted once all its calls are", async () => {
    const { batcher, batches } = heldBatcher();
    const callers = [new AbortController(), new AbortController()];
    const first = batcher.submit(0, contextOf());
    const calls = callers.map(({ signal }, i) => batcher.submit(i, contextOf("c", signal)));
    batches[0]!.end();
    await first;
    await expect.poll(() => batches.length, { interval: 1 }).toBe(2);
    const { signal } = batches[1]!.context;
    callers[0]!.abort();
    expect(signal.aborted).toBe(false);
    callers[1]!.abort();
    expect(signal.aborted).toBe(true);
    batches[1]!.end();
    await Promise.all(calls);
  });

  test("a batch may take as long as its most patient call", async () => {
    const { batcher, batches } = heldBatcher();
    const first = batcher.submit(0, contextOf());
    const calls = [5, 9, 7].map((deadline) => batcher.submit(deadline, { ...contextOf(), deadline }));
    batches[0]!.end();
    await first;
    await expect.poll(() => batches.length, { interval: 1 }).toBe(2);
    expect(batches[1]!.context.deadline).toBe(9);
    batches[1]!.end();
    await Promise.all(calls);
  });

  test("a batch runs in the context of its own calls, not in that of the call that set it off", async () => {
    const seen: (string | undefined)[] = [];
    const gates: (() => void)[] = [];
    const batcher = new Batcher("S", "a", { maxBatchSize: 4, maxLatencyMs: 60_000 }, async (inputs) => {
      seen.push(currentContext()?.callId);
      await new Promise<void>((resolve) => gates.push(resolve));
      return inputs;
    });
    const submit = (id: string) => withContext(contextOf(id), () => batcher.submit(id, currentContext()!));
    const calls = [submit("first"), submit("second"), submit("third")];
    gates[0]!();
    await expect.poll(() => gates.length, { interval: 1 }).toBe(2);
    gates[1]!();
    await Promise.all(calls);
    expect(seen).toEqual(["first", "second"]);
  });
});

describe("maxLatencyMs", () => {
  /** A batcher that has learned that a batch takes about 50 ms. */
  async function slowBatcher(maxLatencyMs: number) {
    const held = heldBatcher({ maxLatencyMs, maxBatchSize: 2 });
    const call = held.batcher.submit("slow", contextOf());
    await new Promise((resolve) => setTimeout(resolve, 50));
    held.batches[0]!.end();
    await call;
    return held;
  }

  test("a call that would be late is refused with a time to come back", async () => {
    const { batcher, batches } = await slowBatcher(60);
    const running = batcher.submit(1, contextOf());
    await expect(batcher.submit(2, contextOf())).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryAfter: expect.any(Number),
    });
    batches[1]!.end();
    expect(await running).toBe("out 1");
  });

  test("an idle batcher tries again, however slow its last batch was", async () => {
    const { batcher, batches } = await slowBatcher(20);
    const call = batcher.submit(1, contextOf());
    batches[1]!.end();
    expect(await call).toBe("out 1");
  });

  test("a call that has waited its time is refused rather than run", async () => {
    const { batcher, batches } = heldBatcher({ maxLatencyMs: 20 });
    const calls = [batcher.submit(1, contextOf()), batcher.submit(2, contextOf())];
    await new Promise((resolve) => setTimeout(resolve, 40));
    batches[0]!.end();
    expect(await settled(calls)).toEqual(["out 1", "UNAVAILABLE"]);
    expect(batches).toHaveLength(1);
  });
});
