import { describe, expect, it } from "vitest";
import { estimate, remaining, typicalJob } from "#shared/delivery/eta.ts";
import type { WorkerPhase, WorkerReport } from "#shared/delivery/worker-report.ts";

const NOW = 1_000_000;
const job = { mean: 10, deviation: 1, count: 20 };

function worker(phase: WorkerPhase, more: Partial<WorkerReport> = {}): WorkerReport {
  const jobs = phase === "ready" ? { run: job } : {};
  return { worker: "w", phase, phaseSince: NOW, at: NOW, places: 1, busy: 0, done: 0, jobs, ...more };
}

const ask = (workers: WorkerReport[], ahead: number, starts = {}) =>
  estimate({ workers, starts, api: "run", ahead, now: NOW });

describe("an estimate", () => {
  it("for an idle worker is what a call takes, with its spread", () => {
    expect(ask([worker("ready")], 0)).toEqual({ seconds: 10, low: 8, high: 12, ahead: 0, reason: "running" });
  });

  it("grows with the place in the queue and shrinks with the workers; its spread grows with the root", () => {
    expect(ask([worker("ready")], 8)).toEqual({ seconds: 90, low: 84, high: 96, ahead: 8, reason: "queued" });
    expect(ask([worker("ready"), worker("ready")], 8)?.seconds).toBe(50);
    expect(ask([worker("ready", { places: 4 })], 8)?.seconds).toBe(30);
  });

  it("says what is left of a start while no worker is ready", () => {
    const starts = { booting: 60, pulling: 40, loading: 20 };
    const eta = ask([worker("pulling", { phaseSince: NOW - 10_000, jobs: { run: job } })], 0, starts);
    expect(eta).toMatchObject({ seconds: 30 + 20 + 10, reason: "pulling" });
    expect(ask([], 0, starts)).toMatchObject({ seconds: 120, reason: "starting" });
    // The one that is furthest counts.
    const two = ask([worker("booting"), worker("loading", { jobs: { run: job } })], 0, starts);
    expect(two).toMatchObject({ seconds: 20 + 10, reason: "loading" });
  });

  it("does not count on a phase that takes longer than usual, nor on a worker that stops", () => {
    const eta = ask([worker("loading", { phaseSince: NOW - 99_000, jobs: { run: job } })], 0, { loading: 20 });
    expect(eta).toMatchObject({ seconds: 10, reason: "loading" });
    expect(ask([worker("ready"), worker("stopping")], 4)?.seconds).toBe(50);
  });

  it("is none while nothing is known", () => {
    expect(ask([], 5)).toBeUndefined();
    expect(ask([worker("ready", { jobs: {} })], 5)).toBeUndefined();
  });

  it("is never below zero", () => {
    const wild = worker("ready", { jobs: { run: { mean: 1, deviation: 9, count: 3 } } });
    expect(ask([wild], 0)?.low).toBe(0);
  });
});

describe("what is left of a call in work", () => {
  it("follows from its progress once that says something", () => {
    expect(remaining({ startedAt: NOW - 6_000, fraction: 0.25 }, job, NOW)?.seconds).toBeCloseTo(18);
    expect(remaining({ startedAt: NOW - 6_000, fraction: 0 }, job, NOW)?.seconds).toBe(4);
    expect(remaining({ startedAt: NOW - 60_000, fraction: 0 }, job, NOW)).toMatchObject({ seconds: 0, low: 0 });
    expect(remaining({ startedAt: NOW, fraction: 0 }, undefined, NOW)).toBeUndefined();
  });
});

it("what a call takes is weighed by how many each worker has seen, up to sixteen", () => {
  const slow = worker("ready", { jobs: { run: { mean: 20, deviation: 2, count: 1000 } } });
  const fast = worker("ready", { jobs: { run: { mean: 10, deviation: 1, count: 16 } } });
  expect(typicalJob([slow, fast], "run")).toEqual({ mean: 15, deviation: 1.5, count: 32 });
  expect(typicalJob([slow], "other")).toBeUndefined();
});
