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

  it("takes every worker at its own speed", () => {
    const slow = worker("ready", { jobs: { run: { mean: 30, deviation: 1, count: 20 } } });
    // 1/10 + 1/30 calls a second; a call takes 20 s on average.
    expect(ask([worker("ready"), slow], 8)?.seconds).toBeCloseTo(8 / (1 / 10 + 1 / 30) + 20);
    expect(ask([worker("ready"), slow], 1)).toMatchObject({ seconds: 20, reason: "running" });
  });

  it("counts on workers that are loading from when they are ready", () => {
    const starts = { loading: 20 };
    const loading = worker("loading");
    // Two calls are done when the second worker comes; both do the other eight.
    expect(ask([worker("ready"), loading], 10, starts)).toMatchObject({ seconds: 20 + 40 + 10, reason: "queued" });
    // It has a free place for the last one then.
    expect(ask([worker("ready"), loading], 3, starts)?.seconds).toBe(20 + 10);
    // It comes too late to help.
    expect(ask([worker("ready"), loading], 1, starts)?.seconds).toBe(10 + 10);
    // Nobody knows when these come.
    const overdue = worker("loading", { phaseSince: NOW - 60_000 });
    expect(ask([worker("ready"), overdue], 10, starts)?.seconds).toBe(110);
    expect(ask([worker("ready"), loading], 10)?.seconds).toBe(110);
    const stuck = worker("booting", { phaseSince: NOW - 60_000 });
    expect(ask([worker("ready"), stuck], 10, { booting: 20, loading: 20 })?.seconds).toBe(110);
  });

  it("while no worker is ready counts each from its own end of start", () => {
    const first = worker("loading", { jobs: { run: job } });
    const eta = ask([first, worker("booting")], 10, { booting: 20, loading: 20 });
    expect(eta).toMatchObject({ seconds: 20 + 20 + 40 + 10, reason: "loading" });
  });

  it("is the start alone where nobody knows what a call takes", () => {
    expect(ask([worker("loading"), worker("loading")], 5, { loading: 20 })).toMatchObject({ seconds: 20, low: 10 });
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
