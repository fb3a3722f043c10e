import type { JobTime } from "./job-times.ts";
import { START_PHASES, type StartTimes, type WorkerReport } from "./worker-report.ts";

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
 * What is left of a start while no worker is ready, plus the calls ahead times the seconds
 * a call over the places of all workers that are or will be there, plus the call's own seconds. A job's spread is two mean
 * deviations; over n jobs in a row it grows with the square root of n.
 * @returns undefined while no call of the api has been measured and none is known to start.
 */
export function estimate({ workers, starts, api, ahead, now }: EtaInput): Eta | undefined {
  const serving = workers.filter(({ phase }) => phase !== "stopping");
  const ready = serving.filter(({ phase }) => phase === "ready");
  const start = ready.length > 0 ? undefined : startLeft(serving, starts, now);
  const job = typicalJob(workers, api);
  if (!job && !start) return undefined;
  const { mean, deviation } = job ?? { mean: 0, deviation: 0 };
  const places = Math.max(
    1,
    (ready.length > 0 ? ready : serving).reduce((sum, one) => sum + one.places, 0),
  );
  const before = Math.floor(ahead / places);
  const middle = (start?.seconds ?? 0) + (before + 1) * mean;
  const spread = 2 * deviation * Math.sqrt(before + 1) + (start?.seconds ?? 0) / 2;
  return {
    seconds: middle,
    low: Math.max(0, middle - spread),
    high: middle + spread,
    ahead,
    reason: start?.phase ?? (ahead >= places ? "queued" : "running"),
  };
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

/** What is left until the first worker is ready: of the phase it is in, and of those that follow. */
function startLeft(
  workers: readonly WorkerReport[],
  starts: StartTimes,
  now: number,
): { seconds: number; phase: Eta["reason"] } | undefined {
  const left = workers.map(({ phase, phaseSince }) => {
    const at = (START_PHASES as readonly string[]).indexOf(phase);
    const elapsed = (now - phaseSince) / 1000;
    const own = Math.max(0, (starts[START_PHASES[at]!] ?? 0) - elapsed);
    const later = START_PHASES.slice(at + 1).reduce((sum, one) => sum + (starts[one] ?? 0), 0);
    return { seconds: own + later, phase: phase as Eta["reason"] };
  });
  const first = left.sort((a, b) => a.seconds - b.seconds)[0];
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
