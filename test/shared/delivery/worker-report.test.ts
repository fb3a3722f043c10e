import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { JobTimes } from "#shared/delivery/job-times.ts";
import type { MessageQueue, QueueDepth } from "#shared/delivery/message-queue.ts";
import { finished, placeNow, type QueueSnapshot, QueueWatch, waiting } from "#shared/delivery/queue-watch.ts";
import { WorkerReporter, WorkerReports } from "#shared/delivery/worker-report.ts";
import { ServiceError } from "#shared/index.ts";
import { DiskStore } from "#shared/store/disk-store.ts";

let folder: string;
let store: DiskStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tandem-reports-"));
  store = new DiskStore(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("job times", () => {
  it("start with the first value, follow what comes and forget what was", () => {
    const times = new JobTimes();
    expect(times.of("run")).toBeUndefined();
    times.learn("run", 4);
    expect(times.of("run")).toEqual({ mean: 4, deviation: 2, count: 1 });
    for (let i = 0; i < 100; i++) times.learn("run", 10);
    expect(times.of("run")?.mean).toBeCloseTo(10, 3);
    expect(times.of("run")?.deviation).toBeCloseTo(0, 3);
    expect(times.of("other")).toBeUndefined();
  });
});

describe("a worker's report", () => {
  it("tells its phase, what it does and how long that takes; it is gone with the worker", async () => {
    const reporter = new WorkerReporter({ store, service: "S", worker: "a", places: 2 });
    const reports = new WorkerReports(store, "S");
    await vi.waitFor(async () =>
      expect(await reports.list()).toMatchObject([{ worker: "a", phase: "loading", places: 2 }]),
    );
    reporter.started();
    reporter.started();
    reporter.finished("run", 3);
    reporter.phase("ready");
    await vi.waitFor(async () =>
      expect(await reports.list()).toMatchObject([
        { phase: "ready", busy: 1, done: 1, jobs: { run: { mean: 3, count: 1 } } },
      ]),
    );
    expect(reporter.typical("run")).toMatchObject({ mean: 3 });
    await reporter.stop();
    expect(await reports.list()).toEqual([]);
  });

  it("a call that failed says nothing of how long one takes", async () => {
    const reporter = new WorkerReporter({ store, service: "S", worker: "a", places: 1 });
    reporter.started();
    reporter.finished("run", undefined);
    expect(reporter.typical("run")).toBeUndefined();
    await reporter.stop();
  });

  it("what a start takes is remembered beyond the worker", async () => {
    const reporter = new WorkerReporter({ store, service: "S", worker: "a", places: 1, startedAt: Date.now() - 7000 });
    reporter.phase("ready");
    const reports = new WorkerReports(store, "S");
    await vi.waitFor(async () => expect((await reports.startTimes()).loading).toBeCloseTo(7, 0));
    await reporter.stop();
    await reports.learnStart({ loading: 11, pulling: 5 });
    expect(await reports.startTimes()).toMatchObject({ loading: expect.closeTo(8, 0), pulling: 5 });
  });

  it("an old report counts no more, a very old one is deleted", async () => {
    let now = 1_000_000;
    const reports = new WorkerReports(store, "S", () => now);
    const report = { phase: "ready", phaseSince: now, at: now, places: 1, busy: 0, done: 0, jobs: {} } as const;
    await reports.put({ worker: "a", ...report });
    now += 29_000;
    await reports.put({ worker: "b", ...report, at: now });
    expect((await reports.list()).map(({ worker }) => worker)).toEqual(["a", "b"]);
    now += 2_000;
    expect((await reports.list()).map(({ worker }) => worker)).toEqual(["b"]);
    now += 600_000;
    await reports.list();
    expect(await store.list("S/workers/")).toEqual([]);
  });

  it("a store that is away harms nobody", async () => {
    const away = Object.assign(Object.create(store) as DiskStore, {
      put: () => Promise.reject(new ServiceError("UNAVAILABLE", "away")),
      delete: () => Promise.reject(new ServiceError("UNAVAILABLE", "away")),
    });
    const reporter = new WorkerReporter({ store: away, service: "S", worker: "a", places: 1 });
    reporter.phase("ready");
    await reporter.stop();
  });
});

describe("a queue that is watched", () => {
  const depth = (visible: number, inFlight = 0): QueueDepth => ({ visible, inFlight, delayed: 0 });

  it("is looked at once for all who ask at once, and not again within a second", async () => {
    let [looks, now] = [0, 1_000_000];
    const look = async (): Promise<QueueDepth> => {
      looks++;
      return depth(4, 1);
    };
    const queue = { depth: look } as unknown as MessageQueue;
    const reports = new WorkerReports(store, "S", () => now);
    await reports.put({
      worker: "a",
      phase: "ready",
      phaseSince: now,
      at: now,
      places: 1,
      busy: 1,
      done: 7,
      jobs: { run: { mean: 2, deviation: 0, count: 9 } },
    });
    const watch = new QueueWatch({ queue, reports, now: () => now });
    expect(watch.etaOfNext("run")).toBeUndefined();
    await Promise.all([watch.snapshot(), watch.snapshot(), watch.snapshot()]);
    watch.refresh();
    expect(looks).toBe(1);
    expect(watch.etaOfNext("run")).toMatchObject({ seconds: 12, ahead: 5 });
    // What went out since is before the next one, too.
    watch.sent();
    watch.sent();
    expect(watch.etaOfNext("run")).toMatchObject({ seconds: 16, ahead: 7 });
    now += 1_001;
    await watch.snapshot();
    expect(looks).toBe(2);
    expect(watch.etaOfNext("run")).toMatchObject({ ahead: 5 });
    // What is seen no more is not believed for long.
    now += 5_001;
    expect(watch.etaOfNext("run")).toBeUndefined();
  });

  it("tells the calls before one by lane, and how far those have moved up", () => {
    const snapshot = (done: number, visible: number): QueueSnapshot => ({
      at: 0,
      depth: depth(visible, 2),
      priorityDepth: depth(3, 1),
      workers: [{ worker: "a", phase: "ready", phaseSince: 0, at: 0, places: 1, busy: 0, done, jobs: {} }],
      starts: {},
    });
    expect(waiting(snapshot(0, 10), "normal")).toBe(16);
    expect(waiting(snapshot(0, 10), "high")).toBe(6);
    const then = { ahead: 16, finished: finished(snapshot(5, 10)) };
    expect(placeNow(snapshot(9, 10), then, "normal")).toBe(12);
    expect(placeNow(snapshot(9, 2), then, "normal")).toBe(8);
    expect(placeNow(snapshot(99, 10), then, "normal")).toBe(0);
    // A new worker counts from nought.
    expect(placeNow(snapshot(1, 10), then, "normal")).toBe(16);
  });
});
