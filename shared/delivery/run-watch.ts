import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { CallObjects } from "./call-objects.ts";

export interface RunWatchOptions {
  /** Somebody wants to hear of progress. */
  readonly listened?: boolean | undefined;
  /** Least seconds between two progress objects, and between two looks for a cancel. Default 1. */
  readonly progressSeconds?: number | undefined;
}

/** A run is first looked after at this age: most are over by then and cost the store nothing. */
const FIRST_LOOK_MS = 250;
/** A run that reports nothing renews its lease this often. */
const LEASE_RENEWAL_MS = 5_000;

/**
 * Looks after one run of a call: tells the store that it is alive and how far it is, and stops it when the call has a
 * result, be it another run's or a cancel.
 */
export class RunWatch {
  /** Fires when the run is to stop. */
  readonly signal: AbortSignal;
  /** Why it was to stop: the call has ended, or the worker is stopping. */
  outcome: "ended" | "stopping" | undefined;
  readonly #controller = new AbortController();
  readonly #objects: CallObjects;
  readonly #id: string;
  readonly #run: string;
  readonly #grace: AbortSignal;
  readonly #startedAt = Date.now();
  readonly #interval: number;
  readonly #listened: boolean;
  #timer: NodeJS.Timeout;
  #sequence = 0;
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
    if (this.#listened && Date.now() - this.#written.at >= this.#interval) this.#write();
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
    this.#grace.removeEventListener("abort", this.#stopping);
    await this.#writing;
  }

  readonly #stopping = (): void => {
    this.outcome ??= "stopping";
    this.#controller.abort(this.#grace.reason);
  };

  async #look(): Promise<void> {
    try {
      const other = this.#written.at === 0 ? await this.#objects.progress(this.#id) : undefined;
      if (await this.#objects.hasResult(this.#id)) {
        this.outcome ??= "ended";
        this.#controller.abort(new ServiceError("CANCELED", "the call has ended: it was canceled, or run elsewhere"));
        return;
      }
      if (
        other &&
        other.run !== this.#run &&
        Date.now() - other.at < 3 * LEASE_RENEWAL_MS &&
        other.startedAt < this.#startedAt
      ) {
        // Delivered twice: the older run goes on, this one gives the message back and is not missed.
        this.outcome ??= "stopping";
        this.#controller.abort(new ServiceError("UNAVAILABLE", "another worker is running the call"));
        return;
      }
      const news = this.#listened && this.#sequence > this.#written.sequence;
      const age = Date.now() - Math.max(this.#written.at, this.#startedAt);
      if (news || age >= LEASE_RENEWAL_MS || (this.#written.at === 0 && age >= this.#interval)) this.#write();
    } catch (err) {
      log.debug({ err, id: this.#id }, "a run could not be looked after; it goes on");
    }
    if (!this.#ended && !this.signal.aborted) this.#timer = setTimeout(() => void this.#look(), this.#interval);
  }

  /** One write at a time; what comes meanwhile is written by the next look. */
  #write(): void {
    if (this.#writing || this.#ended) return;
    const at = Date.now();
    const sequence = this.#sequence;
    this.#written = { sequence, at };
    const progress = { run: this.#run, startedAt: this.#startedAt, at, sequence, ...this.#latest };
    this.#writing = this.#objects
      .putProgress(this.#id, progress)
      .catch((err: unknown) => log.debug({ err, id: this.#id }, "progress could not be written"))
      .finally(() => {
        this.#writing = undefined;
      });
  }
}
