import type { JobTime } from "./job-times.ts";
import { START_PHASES, type StartPhase, type StartTimes, type WorkerReport } from "./worker-report.ts";

/** When a call is expected to be answered, from now: seconds. */
export interface Eta {
  readonly seconds: number;
  /** The spread: it will hardly be answered before, */
  readonly low: number;
  /** and hardly after. */
  readonly high: number;
  /** Calls before it, waiting or in work. */
  readonly ahead: number;
  /** What it waits for. */
  readonly reason: "queued" | "starting" | "booting" | "pulling" | "loading" | "running";
}

export interface EtaInput {
  /** Workers that are alive. */
  readonly workers: readonly WorkerReport[];
  /** What a start usually takes. */
  readonly starts: StartTimes;
  readonly api: string;
  /** Calls before this one, waiting or in work. */
  readonly ahead: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * The seconds until the call begins plus its own mean m. It begins when every call ahead has been worked off or a place is
 * free. A worker with p places and mean m' works off p / m' calls a second, from now on if it is ready, else from the end
 * of its start: `starts` of its phase less what has passed of it, plus `starts` of those after it. One whose phase takes
 * longer than usual is not counted on beside a ready one.
 *
 * The spread is 2 d sqrt(1 + w / m), for d the mean deviation of one call and w the seconds in the queue, as deviations of
 * w / m calls in a row add up; and half of a start that must pass first.
 * @returns undefined while no call of the api has been measured and none is known to start.
 */
export function estimate({ workers, starts, api, ahead, now }: EtaInput): Eta | undefined {
  const serving = workers.filter(({ phase }) => phase !== "stopping");
  const anyReady = serving.some(({ phase }) => phase === "ready");
  const start = anyReady ? undefined : firstStart(serving, starts, now);
  const job = typicalJob(workers, api);
  if (!job && !start) return undefined;
  const { mean, deviation } = job ?? { mean: 0, deviation: 0 };
  const capacity = serving.flatMap((worker): Capacity[] => {
    const isReady = worker.phase === "ready";
    if (anyReady && !isReady && phaseLeft(worker, starts, now) === 0) return [];
    const from = isReady ? 0 : startLeft(worker, starts, now);
    return [capacityOf(from, worker.places, worker.jobs[api]?.mean ?? mean)];
  });
  const startSeconds = start?.seconds ?? 0;
  const begins = beginsAfter(capacity.length > 0 ? capacity : [capacityOf(startSeconds, 1, mean)], ahead);
  const queued = begins - startSeconds;
  const seconds = begins + mean;
  const spread = 2 * deviation * Math.sqrt(1 + (mean > 0 ? queued / mean : 0)) + startSeconds / 2;
  return {
    seconds,
    low: Math.max(0, seconds - spread),
    high: seconds + spread,
    ahead,
    reason: start?.phase ?? (begins > 0 ? "queued" : "running"),
  };
}

/** Places that work from so many seconds from now on; calls a second, infinite where nobody knows what one takes. */
interface Capacity {
  readonly from: number;
  readonly places: number;
  readonly rate: number;
}

function capacityOf(from: number, places: number, mean: number): Capacity {
  const atLeastOne = Math.max(1, places);
  return { from, places: atLeastOne, rate: atLeastOne / mean };
}

/** Seconds until a call with so many ahead begins. */
function beginsAfter(capacity: readonly Capacity[], ahead: number): number {
  let [time, left, rate, places] = [0, ahead, 0, 0];
  for (const one of capacity.toSorted((a, b) => a.from - b.from)) {
    const done = one.from > time ? rate * (one.from - time) : 0;
    if (left < done) break;
    left -= done;
    time = one.from;
    rate += one.rate;
    places += one.places;
    if (left < places) return time;
  }
  return time + left / rate;
}

/** What is left of a call in work: by its progress once that says something, else by what calls usually take. */
export function remaining(
  progress: { readonly startedAt: number; readonly fraction: number },
  job: JobTime | undefined,
  now: number,
): Eta | undefined {
  const elapsed = Math.max(0, (now - progress.startedAt) / 1000);
  const { fraction } = progress;
  const told = fraction > 0.05 ? (elapsed / fraction) * (1 - fraction) : undefined;
  const seconds = told ?? (job && Math.max(0, job.mean - elapsed));
  if (seconds === undefined) return undefined;
  const spread = told === undefined ? 2 * job!.deviation : seconds / 4;
  return { seconds, low: Math.max(0, seconds - spread), high: seconds + spread, ahead: 0, reason: "running" };
}

/** Seconds until a worker that starts is ready: what is left of its phase, and those that follow. */
function startLeft(worker: WorkerReport, starts: StartTimes, now: number): number {
  const later = START_PHASES.slice((START_PHASES as readonly string[]).indexOf(worker.phase) + 1);
  return later.reduce((sum, one) => sum + (starts[one] ?? 0), phaseLeft(worker, starts, now));
}

/** Seconds until a worker that starts has finished its phase; none where it is overdue or nothing is known of it. */
function phaseLeft({ phase, phaseSince }: WorkerReport, starts: StartTimes, now: number): number {
  return Math.max(0, (starts[phase as StartPhase] ?? 0) - (now - phaseSince) / 1000);
}

/** What is left until the first worker is ready; a whole start where none is on its way. */
function firstStart(
  workers: readonly WorkerReport[],
  starts: StartTimes,
  now: number,
): { seconds: number; phase: Eta["reason"] } | undefined {
  const left = workers.map((worker) => ({
    seconds: startLeft(worker, starts, now),
    phase: worker.phase as Eta["reason"],
  }));
  const first = left.toSorted((a, b) => a.seconds - b.seconds)[0];
  if (first) return first;
  const whole = START_PHASES.reduce((sum, one) => sum + (starts[one] ?? 0), 0);
  return whole > 0 ? { seconds: whole, phase: "starting" } : undefined;
}

/** Seconds a call over all workers, by how many each has seen lately. */
export function typicalJob(workers: readonly WorkerReport[], api: string): JobTime | undefined {
  let [weight, mean, deviation] = [0, 0, 0];
  for (const { jobs } of workers) {
    const job = jobs[api];
    if (!job) continue;
    const share = Math.min(job.count, 16);
    weight += share;
    mean += share * job.mean;
    deviation += share * job.deviation;
  }
  return weight === 0 ? undefined : { mean: mean / weight, deviation: deviation / weight, count: weight };
}
