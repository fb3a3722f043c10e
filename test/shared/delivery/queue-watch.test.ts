import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MessageQueue, QueueDepth } from "#shared/delivery/message-queue.ts";
import { finished, placeNow, type QueueSnapshot, QueueWatch, waiting } from "#shared/delivery/queue-watch.ts";
import { WorkerReports } from "#shared/delivery/worker-report.ts";
import { ServiceError } from "#shared/index.ts";
import { DiskStore } from "#shared/store/disk-store.ts";

let folder: string;
let store: DiskStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tandem-watch-"));
  store = new DiskStore(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

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

  it("keeps what was seen where a look fails, and throws to who needs a new one", async () => {
    let [away, now] = [false, 1_000_000];
    const look = async (): Promise<QueueDepth> => {
      if (away) throw new ServiceError("UNAVAILABLE", "away");
      return depth(1);
    };
    const queue = { depth: look } as unknown as MessageQueue;
    const reports = new WorkerReports(store, "S", () => now);
    await reports.learnStart({ loading: 20 });
    const watch = new QueueWatch({ queue, reports, now: () => now });
    await watch.snapshot();
    away = true;
    now += 2_000;
    watch.refresh();
    await expect(watch.snapshot(0)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(watch.etaOfNext("run")).toMatchObject({ seconds: 20, ahead: 1, reason: "starting" });
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
