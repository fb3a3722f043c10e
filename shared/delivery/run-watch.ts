import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { CallObjects, CallProgress } from "./call-objects.ts";

export interface RunWatchOptions {
  /** Somebody wants to hear of progress. */
  readonly listened?: boolean | undefined;
  /** Least seconds between two progress objects, and between two looks for a cancel. Default 1. */
  readonly progressSeconds?: number | undefined;
  /** Seconds after which a run that says nothing is taken for dead; one that is alive says so three times. Default 15. */
  readonly leaseSeconds?: number | undefined;
}

export const LEASE_SECONDS = 15;

/** A run is first looked after at this age: most are over by then and cost the store nothing. */
const FIRST_LOOK_MS = 250;

/**
 * Looks after one run of a call: tells the store that it is alive and how far it is, and stops it when the call has a
 * result, be it another run's or a cancel.
 */
export class RunWatch {
  /** Fires when the run is to stop. */
  readonly signal: AbortSignal;
  /** Why it was to stop: the call has ended, another worker runs it, or this one is stopping. */
  outcome: "ended" | "elsewhere" | "stopping" | undefined;
  readonly #controller = new AbortController();
  readonly #objects: CallObjects;
  readonly #id: string;
  readonly #run: string;
  readonly #grace: AbortSignal;
  readonly #startedAt = Date.now();
  readonly #interval: number;
  readonly #lease: number;
  readonly #listened: boolean;
  #timer: NodeJS.Timeout;
  #news: NodeJS.Timeout | undefined;
  #sequence = 0;
  #comparedAt = 0;
  #latest: { fraction: number; preview?: Uint8Array } = { fraction: 0 };
  #written = { sequence: 0, at: 0 };
  #writing: Promise<void> | undefined;
  #ended = false;

  constructor(objects: CallObjects, id: string, run: string, grace: AbortSignal, options: RunWatchOptions) {
    this.#objects = objects;
    this.#id = id;
    this.#run = run;
    this.#grace = grace;
    this.#interval = (options.progressSeconds ?? 1) * 1000;
    this.#lease = (options.leaseSeconds ?? LEASE_SECONDS) * 1000;
    this.#listened = options.listened ?? false;
    this.signal = this.#controller.signal;
    grace.addEventListener("abort", this.#stopping, { once: true });
    if (grace.aborted) this.#stopping();
    this.#timer = setTimeout(() => void this.#look(), Math.min(FIRST_LOOK_MS, this.#interval));
  }

  /** Hears the run's progress. */
  readonly report = (fraction: number, preview?: Uint8Array): void => {
    this.#latest = { fraction, ...(preview && { preview }) };
    this.#sequence++;
    if (this.#listened) this.#tell();
  };

  /** Takes the lease at once, for a run whose parts must not be mixed with another's. */
  async begin(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  /** To be called when the run is over. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#news);
    this.#grace.removeEventListener("abort", this.#stopping);
    await this.#writing;
  }

  /** Gives the lease back after the end, so that the call's next run need not wait until it is over. */
  async release(): Promise<void> {
    if (this.#written.at === 0) return;
    try {
      const progress = await this.#objects.progress(this.#id);
      if (progress?.run === this.#run) await this.#objects.deleteProgress(this.#id);
    } catch (err) {
      log.debug({ err, id: this.#id }, "a lease could not be given back; it runs out");
    }
  }

  readonly #stopping = (): void => this.#stop("stopping", this.#grace.reason);

  #stop(outcome: "ended" | "elsewhere" | "stopping", reason: unknown): void {
    this.outcome ??= outcome;
    this.#controller.abort(reason);
  }

  async #look(): Promise<void> {
    try {
      const compares = Date.now() - this.#comparedAt >= this.#lease / 3;
      const other = compares ? await this.#objects.progress(this.#id) : undefined;
      if (compares) this.#comparedAt = Date.now();
      if (await this.#objects.hasResult(this.#id))
        this.#stop("ended", new ServiceError("CANCELED", "the call has ended: it was canceled, or run elsewhere"));
      // Delivered twice: the older run goes on, this one is not missed.
      else if (other && this.#isOlder(other))
        this.#stop("elsewhere", new ServiceError("UNAVAILABLE", "another worker is running the call"));
      else {
        const age = Date.now() - Math.max(this.#written.at, this.#startedAt);
        if (age >= this.#lease / 3 || (this.#written.at === 0 && age >= this.#interval)) this.#write();
      }
    } catch (err) {
      log.debug({ err, id: this.#id }, "a run could not be looked after; it goes on");
    }
    if (!this.#ended && !this.signal.aborted) this.#timer = setTimeout(() => void this.#look(), this.#interval);
  }

  #isOlder({ run, startedAt, at }: CallProgress): boolean {
    return run !== this.#run && startedAt < this.#startedAt && Date.now() - at < this.#lease;
  }

  /** Writes what is new: now, or once the last progress object is an interval old. */
  #tell(): void {
    if (this.#ended || this.#writing || this.#news) return;
    const wait = this.#written.at + this.#interval - Date.now();
    if (wait <= 0) this.#write();
    else this.#news = setTimeout(() => this.#write(), wait);
  }

  /** One write at a time; what comes meanwhile follows. */
  #write(): void {
    if (this.#writing || this.#ended) return;
    clearTimeout(this.#news);
    this.#news = undefined;
    const at = Date.now();
    const sequence = this.#sequence;
    this.#written = { sequence, at };
    const progress = { run: this.#run, startedAt: this.#startedAt, at, sequence, ...this.#latest };
    this.#writing = this.#objects
      .putProgress(this.#id, progress)
      .catch((err: unknown) => log.debug({ err, id: this.#id }, "progress could not be written"))
      .finally(() => {
        this.#writing = undefined;
        if (this.#listened && this.#sequence > this.#written.sequence) this.#tell();
      });
  }
}
