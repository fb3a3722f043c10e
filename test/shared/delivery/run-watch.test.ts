import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CallObjects, CallProgress } from "#shared/delivery/call-objects.ts";
import { RunWatch, type RunWatchOptions } from "#shared/delivery/run-watch.ts";
import { log } from "#shared/observability/log.ts";

log.level = "silent";

/** The objects of one call, in memory; every write is kept with its time. */
class Objects {
  readonly writes: CallProgress[] = [];
  stored: CallProgress | undefined;
  ended = false;
  /** What a write waits for. */
  slow: Promise<void> | undefined;
  failing = false;

  async putProgress(_id: string, progress: CallProgress): Promise<void> {
    this.writes.push(progress);
    await this.slow;
    if (this.failing) throw new Error("away");
    this.stored = progress;
  }

  async progress(): Promise<CallProgress | undefined> {
    if (this.failing) throw new Error("away");
    return this.stored;
  }

  async deleteProgress(): Promise<void> {
    this.stored = undefined;
  }

  async hasResult(): Promise<boolean> {
    if (this.failing) throw new Error("away");
    return this.ended;
  }
}

let objects: Objects;
let grace: AbortController;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  objects = new Objects();
  grace = new AbortController();
});
afterEach(() => void vi.useRealTimers());

const watch = (options: RunWatchOptions = {}): RunWatch =>
  new RunWatch(objects as unknown as CallObjects, "id", "mine", grace.signal, options);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const times = (): number[] => objects.writes.map(({ at }) => at - 1_000_000);

describe("a run's lease", () => {
  it("is taken once the run is not a brief one, and renewed three times before it would be over", async () => {
    const run = watch();
    await pass(20_000);
    await run.end();
    expect(times()).toEqual([1_250, 6_250, 11_250, 16_250]);
    expect(objects.stored).toMatchObject({ run: "mine", startedAt: 1_000_000, sequence: 0, fraction: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is not taken by a brief run", async () => {
    const run = watch();
    await pass(900);
    await run.end();
    await pass(10_000);
    expect(objects.writes).toEqual([]);
  });

  it("is taken at once where that is asked for", async () => {
    const run = watch();
    await run.begin();
    expect(times()).toEqual([0]);
    await run.end();
  });

  it("is tried again where the store was away, and the run goes on", async () => {
    objects.failing = true;
    const run = watch();
    await pass(3_000);
    objects.failing = false;
    await pass(4_000);
    await run.end();
    expect(run.signal.aborted).toBe(false);
    expect(objects.stored?.run).toBe("mine");
  });

  it("is given back, unless it is another run's by then", async () => {
    const run = watch();
    await run.begin();
    await run.end();
    await run.release();
    expect(objects.stored).toBeUndefined();
    const second = watch();
    await second.begin();
    await second.end();
    objects.stored = { ...objects.stored!, run: "theirs" };
    await second.release();
    expect(objects.stored).toMatchObject({ run: "theirs" });
  });
});

describe("progress", () => {
  it("is written at once, then once an interval at most, the newest", async () => {
    const run = watch({ listened: true });
    for (let i = 1; i <= 40; i++) {
      run.report(i / 40, Uint8Array.of(i));
      await pass(100);
    }
    await run.end();
    expect(times()).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    expect(objects.writes.map(({ sequence }) => sequence)).toEqual([1, 10, 20, 30, 40]);
    expect(objects.writes[1]).toMatchObject({ fraction: 10 / 40, preview: Uint8Array.of(10) });
  });

  it("that comes last is written when the interval is over, though nothing follows", async () => {
    const run = watch({ listened: true });
    run.report(0.1);
    await pass(10);
    run.report(0.2);
    await pass(989);
    expect(objects.stored?.fraction).toBe(0.1);
    await pass(1);
    expect(objects.stored?.fraction).toBe(0.2);
    await run.end();
  });

  it("that comes while a slow write is on its way follows it", async () => {
    const written = Promise.withResolvers<void>();
    objects.slow = written.promise;
    const run = watch({ listened: true });
    run.report(0.1);
    await pass(1_500);
    run.report(0.2);
    await pass(100);
    expect(objects.writes).toHaveLength(1);
    objects.slow = undefined;
    written.resolve();
    await pass(0);
    expect(objects.stored?.fraction).toBe(0.2);
    await run.end();
  });

  it("that nobody listens to is not written for its own sake", async () => {
    const run = watch();
    run.report(0.5);
    await pass(1_000);
    expect(objects.writes).toEqual([]);
    await pass(500);
    expect(objects.stored).toMatchObject({ fraction: 0.5, sequence: 1 });
    await run.end();
  });

  it("leaves no timer behind, and is not written after the end", async () => {
    const run = watch({ listened: true });
    run.report(0.1);
    run.report(0.2);
    await run.end();
    run.report(0.3);
    expect(vi.getTimerCount()).toBe(0);
    await pass(10_000);
    expect(objects.writes).toHaveLength(1);
  });
});

describe("a run is stopped", () => {
  it("when the call has a result", async () => {
    const run = watch();
    await pass(300);
    objects.ended = true;
    expect(run.signal.aborted).toBe(false);
    await pass(1_000);
    expect([run.outcome, run.signal.reason]).toEqual(["ended", expect.objectContaining({ code: "CANCELED" })]);
    await run.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("when the worker stops, also where it had before", async () => {
    const run = watch();
    const reason = new Error("stopping");
    grace.abort(reason);
    expect([run.outcome, run.signal.reason]).toEqual(["stopping", reason]);
    const late = watch();
    expect([late.outcome, late.signal.reason]).toEqual(["stopping", reason]);
    await Promise.all([run.end(), late.end()]);
  });

  const other = (more = {}): CallProgress => ({
    run: "theirs",
    startedAt: 999_000,
    at: 1_000_000,
    sequence: 0,
    fraction: 0,
    ...more,
  });

  it("when an older run is alive", async () => {
    objects.stored = other();
    const run = watch();
    await pass(250);
    expect([run.outcome, run.signal.reason]).toEqual(["elsewhere", expect.objectContaining({ code: "UNAVAILABLE" })]);
    expect(objects.stored).toEqual(other());
    await run.end();
  });

  it("when an older run turns out later to be alive", async () => {
    const run = watch({ listened: true });
    run.report(0.5);
    await pass(2_000);
    objects.stored = other({ at: 1_002_000 });
    await pass(5_000);
    expect(run.outcome).toBe("elsewhere");
    await run.end();
  });

  it.each([
    ["younger", { startedAt: 1_000_001 }],
    ["dead", { at: 980_000 }],
  ])("not for a run that is %s", async (_what, more) => {
    objects.stored = other(more);
    const run = watch();
    await pass(1_500);
    expect([run.outcome, objects.stored.run]).toEqual([undefined, "mine"]);
    await run.end();
  });
});
