import { expect, test } from "vitest";
import { QueueWatch } from "#shared/delivery/queue-watch.ts";
import type { WorkerReport, WorkerReports } from "#shared/delivery/worker-report.ts";
import { estimatesFrom } from "#shared/task/estimates.ts";
import { SentMessages } from "./fixture.ts";

const record = {
  id: "t",
  api: "paint",
  createdAt: 0,
  expiresAt: 0,
  callId: "c",
  traceparent: "",
  fingerprint: "",
  priority: "normal",
} as const;

/** A queue with so many waiting and one worker that takes ten seconds a call and has finished so many. */
function watched(state: { visible: number; done: number }) {
  const queue = new SentMessages();
  queue.depth = async () => ({ visible: state.visible, inFlight: 1, delayed: 0 }) as never;
  const jobs = { paint: { mean: 10, deviation: 0, count: 9 } };
  const reports = {
    list: async () => [{ phase: "ready", places: 1, done: state.done, jobs } as Partial<WorkerReport>],
    startTimes: async () => ({}),
  } as unknown as WorkerReports;
  return estimatesFrom(new QueueWatch({ queue, reports }));
}

test("a task's estimate shrinks as those before it are finished", async () => {
  const submitted = watched({ visible: 3, done: 20 });
  const place = await submitted.place("normal");
  expect(place).toEqual({ ahead: 4, finished: 20 });
  expect(await submitted.eta({ ...record, place: place! }, undefined)).toMatchObject({ ahead: 4, seconds: 50 });
  const later = watched({ visible: 9, done: 23 });
  expect(await later.eta({ ...record, place: place! }, undefined)).toMatchObject({ ahead: 1, seconds: 20 });
});

test("one in work is estimated by its progress", async () => {
  const now = Date.now();
  const progress = { run: "r", startedAt: now - 30_000, at: now, sequence: 1, fraction: 0.75 };
  const eta = await watched({ visible: 3, done: 20 }).eta(record, progress);
  expect(eta).toMatchObject({ ahead: 0, reason: "running" });
  expect(eta!.seconds).toBeGreaterThanOrEqual(10);
  expect(eta!.seconds).toBeLessThan(20);
});

test("a queue that cannot be looked at gives none", async () => {
  const queue = new SentMessages();
  const reports = { list: async () => [], startTimes: async () => ({}) } as unknown as WorkerReports;
  const estimates = estimatesFrom(new QueueWatch({ queue, reports }));
  expect(await estimates.place("high")).toBeUndefined();
  expect(await estimates.eta(record, undefined)).toBeUndefined();
});
