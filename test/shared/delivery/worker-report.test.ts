import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { JobTimes } from "#shared/delivery/job-times.ts";
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

  it("one that cannot be deleted does not keep the others from being read", async () => {
    const now = 1_000_000;
    const deleting = vi.fn(() => Promise.reject(new ServiceError("UNAVAILABLE", "away")));
    store.delete = deleting;
    const reports = new WorkerReports(store, "S", () => now);
    const report = { phase: "ready", phaseSince: 0, places: 1, busy: 0, done: 0, jobs: {} } as const;
    await reports.put({ worker: "a", at: now - 600_001, ...report });
    await reports.put({ worker: "b", at: now, ...report });
    expect((await reports.list()).map(({ worker }) => worker)).toEqual(["b"]);
    expect(deleting).toHaveBeenCalledOnce();
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

describe("a worker's report is written", () => {
  /** A store that keeps when it was written to, one write at a time to be settled by the test. */
  class Written {
    readonly at: number[] = [];
    readonly phases: string[] = [];
    atOnce = 0;
    most = 0;
    answer: () => Promise<boolean> = async () => true;

    async put(key: string, chunks: Uint8Array[]): Promise<boolean> {
      if (!key.includes("/workers/")) return true;
      this.at.push(Date.now());
      this.phases.push(JSON.parse(Buffer.concat(chunks).toString()).phase);
      this.most = Math.max(this.most, ++this.atOnce);
      return await this.answer().finally(() => this.atOnce--);
    }

    async get() {}

    async delete() {}
  }

  const reporting = () => {
    const written = new Written();
    const reporter = new WorkerReporter({
      store: written as unknown as DiskStore,
      service: "S",
      worker: "a",
      places: 1,
    });
    return { written, reporter };
  };

  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("every 15 s while nothing changes, every 5 s while something does, and at once with a new phase", async () => {
    const { written, reporter } = reporting();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(written.at).toEqual([0, 15_000, 30_000]);
    await vi.advanceTimersByTimeAsync(2_500);
    reporter.phase("ready");
    reporter.phase("ready");
    expect(written.at.slice(3)).toEqual([32_500]);
    for (let i = 0; i < 100; i++) {
      reporter.started();
      reporter.finished("run", 0.1);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(written.at.slice(4)).toEqual([38_000]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written.at.slice(4)).toEqual([38_000, 43_000]);
    await reporter.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(written.at).toHaveLength(6);
  });

  it("one at a time, the newest phase last", async () => {
    const { written, reporter } = reporting();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    await vi.advanceTimersByTimeAsync(1_000);
    written.answer = () => promise;
    reporter.phase("ready");
    reporter.phase("loading");
    reporter.phase("stopping");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(written.phases).toEqual(["loading", "ready"]);
    resolve(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(written.phases).toEqual(["loading", "ready", "stopping"]);
    expect(written.most).toBe(1);
    await reporter.stop();
  });

  it("again soon where it could not be, before the last one is too old", async () => {
    const { written, reporter } = reporting();
    await vi.advanceTimersByTimeAsync(1_000);
    written.answer = () => Promise.reject(new ServiceError("UNAVAILABLE", "away"));
    await vi.advanceTimersByTimeAsync(24_000);
    expect(written.at).toEqual([0, 15_000, 20_000, 25_000]);
    written.answer = async () => true;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(written.at.slice(4)).toEqual([30_000, 45_000]);
    await reporter.stop();
  });
});
