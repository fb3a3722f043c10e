import { log } from "../observability/log.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { type JobTime, JobTimes } from "./job-times.ts";

/** A worker before it takes calls: its machine boots, its image is pulled, its model is loaded. */
export const START_PHASES = ["booting", "pulling", "loading"] as const;
export type StartPhase = (typeof START_PHASES)[number];
export type WorkerPhase = StartPhase | "ready" | "stopping";

/** Seconds that a start spends in each phase. */
export type StartTimes = Partial<Record<StartPhase, number>>;

/** What a worker says of itself, so that callers can tell how long they will wait. Times are milliseconds since the epoch. */
export interface WorkerReport {
  readonly worker: string;
  readonly phase: WorkerPhase;
  readonly phaseSince: number;
  readonly at: number;
  /** Calls it takes at once. */
  readonly places: number;
  readonly busy: number;
  /** Calls finished since it started. */
  readonly done: number;
  /** Seconds a call, by api. */
  readonly jobs: Record<string, JobTime>;
}

/** A report this old tells nothing any more. */
const FRESH_MS = 30_000;
const ABANDONED_MS = 600_000;
/** Reports while something changes, and otherwise. */
const NEWS_MS = 5_000;
const ALIVE_MS = 15_000;
/** How often the time for a report is looked at: what it may be late by. */
const TICK_MS = 1_000;
const AT_ONCE = 16;

/** The reports of one service's workers: `<service>/workers/<worker>`, and `<service>/start-times`. */
export class WorkerReports {
  readonly #store: ObjectStore;
  readonly #service: string;
  readonly #now: () => number;

  constructor(store: ObjectStore, service: string, now: () => number = Date.now) {
    this.#store = store;
    this.#service = service;
    this.#now = now;
  }

  async put(report: WorkerReport): Promise<void> {
    await this.#store.put(this.#key(report.worker), [Buffer.from(JSON.stringify(report))]);
  }

  async delete(worker: string): Promise<void> {
    await this.#store.delete(this.#key(worker));
  }

  /** The workers that are alive, 1,000 at most. Reports of workers long gone are deleted on the way, a few a time. */
  async list(signal?: AbortSignal): Promise<WorkerReport[]> {
    const keys = await this.#store.list(`${this.#service}/workers/`, undefined, signal);
    const reports: WorkerReport[] = [];
    for (let at = 0; at < keys.length; at += AT_ONCE) {
      const some = keys.slice(at, at + AT_ONCE).map((key) => this.#read<WorkerReport>(key, signal));
      for (const report of await Promise.all(some)) if (report) reports.push(report);
    }
    const now = this.#now();
    const abandoned = reports.filter(({ at }) => now - at > ABANDONED_MS).slice(0, AT_ONCE);
    // The next look deletes what this one could not.
    await Promise.all(abandoned.map(({ worker }) => this.delete(worker).catch(undeleted)));
    return reports.filter(({ at }) => now - at <= FRESH_MS);
  }

  /** What a start of this service's workers usually takes. */
  async startTimes(signal?: AbortSignal): Promise<StartTimes> {
    return (await this.#read<StartTimes>(this.#startKey, signal)) ?? {};
  }

  /** Adds a start to what is known of starts; old ones fade. */
  async learnStart(start: StartTimes): Promise<void> {
    const known = await this.startTimes();
    const mixed = START_PHASES.flatMap((phase) => {
      const [before, now] = [known[phase], start[phase]];
      if (now === undefined) return before === undefined ? [] : [[phase, before] as const];
      return [[phase, before === undefined ? now : before + (now - before) / 4] as const];
    });
    await this.#store.put(this.#startKey, [Buffer.from(JSON.stringify(Object.fromEntries(mixed)))]);
  }

  get #startKey(): string {
    return `${this.#service}/start-times`;
  }

  #key(worker: string): string {
    return `${this.#service}/workers/${worker}`;
  }

  async #read<T>(key: string, signal?: AbortSignal): Promise<T | undefined> {
    const bytes = await this.#store.get(key, signal);
    try {
      return bytes && (JSON.parse(Buffer.from(bytes).toString()) as T);
    } catch {
      return undefined;
    }
  }
}

export interface WorkerReporterOptions {
  readonly store: ObjectStore;
  readonly service: string;
  readonly worker: string;
  readonly places: number;
  /** Milliseconds since the epoch at which the start began. Default: the start of this process. */
  readonly startedAt?: number;
}

/** Publishes one worker's report. Trouble with the store is logged, never thrown; one report is written at a time. */
export class WorkerReporter {
  readonly #reports: WorkerReports;
  readonly #options: WorkerReporterOptions;
  readonly #jobs = new JobTimes();
  readonly #timer: NodeJS.Timeout;
  readonly #start: Partial<Record<StartPhase, number>> = {};
  #phase: WorkerPhase = "loading";
  #phaseSince: number;
  #places: number;
  #busy = 0;
  #done = 0;
  #changed = true;
  #writtenAt = 0;
  #writing: Promise<void> | undefined;
  #learned = false;
  #stopped = false;

  constructor(options: WorkerReporterOptions) {
    this.#options = options;
    this.#reports = new WorkerReports(options.store, options.service);
    this.#places = options.places;
    this.#phaseSince = options.startedAt ?? Date.now() - process.uptime() * 1000;
    this.#publish();
    this.#timer = setInterval(() => {
      if (Date.now() - this.#writtenAt >= (this.#changed ? NEWS_MS : ALIVE_MS)) this.#publish();
    }, TICK_MS).unref();
  }

  /** Says what the worker is at; nothing happens where it said so already. */
  phase(phase: WorkerPhase): void {
    if (phase === this.#phase || this.#phase === "stopping") return;
    const now = Date.now();
    if (this.#phase in { booting: 0, pulling: 0, loading: 0 } && !this.#learned)
      this.#start[this.#phase as StartPhase] = (now - this.#phaseSince) / 1000;
    this.#phase = phase;
    this.#phaseSince = now;
    this.#changed = true;
    if (phase === "ready" && !this.#learned) {
      this.#learned = true;
      this.#reports.learnStart(this.#start).catch(unwritten);
    }
    this.#publish();
  }

  /** Says how many calls it takes at once, where its start has shown another number. */
  takes(places: number): void {
    if (places === this.#places) return;
    this.#places = places;
    this.#changed = true;
  }

  started(): void {
    this.#busy++;
    this.#changed = true;
  }

  /** @param seconds that the call took; undefined where it says nothing of others, as of one that was canceled. */
  finished(api: string, seconds: number | undefined): void {
    this.#busy--;
    this.#done++;
    this.#changed = true;
    if (seconds !== undefined) this.#jobs.learn(api, seconds);
  }

  typical(api: string): JobTime | undefined {
    return this.#jobs.of(api);
  }

  /** Takes the report back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#writing;
    await this.#reports.delete(this.#options.worker).catch(unwritten);
  }

  #publish(): void {
    if (this.#stopped || this.#writing !== undefined) return;
    const { worker } = this.#options;
    const at = Date.now();
    this.#changed = false;
    this.#writtenAt = at;
    const phase = this.#phase;
    const report: WorkerReport = {
      worker,
      phase,
      phaseSince: this.#phaseSince,
      at,
      places: this.#places,
      busy: this.#busy,
      done: this.#done,
      jobs: this.#jobs.all(),
    };
    this.#writing = this.#reports
      .put(report)
      .catch((err: unknown) => {
        this.#changed = true;
        unwritten(err);
      })
      .finally(() => {
        this.#writing = undefined;
        if (this.#phase !== phase) this.#publish();
      });
  }
}

function unwritten(err: unknown): void {
  log.debug({ err }, "a worker's report could not be written");
}

function undeleted(err: unknown): void {
  log.debug({ err }, "a report of a worker long gone could not be deleted");
}
