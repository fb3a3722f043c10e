import { log } from "../observability/log.ts";
import type { Priority } from "../service/context.ts";
import { type Eta, estimate } from "./eta.ts";
import type { MessageQueue, QueueDepth } from "./message-queue.ts";
import type { StartTimes, WorkerReport, WorkerReports } from "./worker-report.ts";

/** What was seen of a service's queue and workers. */
export interface QueueSnapshot {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly depth: QueueDepth;
  readonly priorityDepth: QueueDepth | undefined;
  readonly workers: readonly WorkerReport[];
  readonly starts: StartTimes;
}

export interface QueueWatchOptions {
  readonly queue: MessageQueue;
  readonly priorityQueue?: MessageQueue | undefined;
  readonly reports: WorkerReports;
  readonly now?: () => number;
}

const REFRESH_MS = 1_000;
/** An older snapshot is not believed. */
const STALE_MS = 5_000;

/** Keeps an eye on a service's queue and workers, looking once a second at most and only when somebody asks. */
export class QueueWatch {
  readonly #options: QueueWatchOptions;
  readonly #now: () => number;
  #snapshot: QueueSnapshot | undefined;
  #looking: Promise<QueueSnapshot> | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #sent = 0;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Looks in the background, unless it has within the last second. */
  refresh(): void {
    if (this.#looking !== undefined || this.#now() - this.#lookedAt < REFRESH_MS) return;
    this.#look().catch((err: unknown) => log.debug({ err }, "a queue cannot be looked at"));
  }

  /**
   * A snapshot of at most this age.
   * @throws ServiceError where the queue or the store cannot be reached.
   */
  async snapshot(maxAgeMs = REFRESH_MS): Promise<QueueSnapshot> {
    const known = this.#latest;
    if (known && this.#now() - known.at <= maxAgeMs) return known;
    return this.#look();
  }

  /** Counts a call that was sent from here since: no snapshot has seen it. */
  sent(): void {
    this.#sent++;
  }

  /** What a call that is sent now must expect, by what was seen last; undefined where that tells nothing. */
  etaOfNext(api: string, priority: Priority = "normal"): Eta | undefined {
    const seen = this.#latest;
    return seen && etaIn(seen, api, waiting(seen, priority) + this.#sent, this.#now());
  }

  get #latest(): QueueSnapshot | undefined {
    return this.#snapshot && this.#now() - this.#snapshot.at <= STALE_MS ? this.#snapshot : undefined;
  }

  #look(): Promise<QueueSnapshot> {
    this.#lookedAt = this.#now();
    this.#looking ??= this.#read().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #read(): Promise<QueueSnapshot> {
    const { queue, priorityQueue, reports } = this.#options;
    const before = this.#sent;
    const [depth, priorityDepth, workers, starts] = await Promise.all([
      queue.depth(),
      priorityQueue?.depth(),
      reports.list(),
      reports.startTimes(),
    ]);
    this.#snapshot = { at: this.#now(), depth, priorityDepth, workers, starts };
    this.#sent -= before;
    return this.#snapshot;
  }
}

/** Calls that a new one would wait for. */
export function waiting({ depth, priorityDepth }: QueueSnapshot, priority: Priority): number {
  const first = (priorityDepth?.visible ?? 0) + (priorityDepth?.inFlight ?? 0) + depth.inFlight;
  return priority === "high" && priorityDepth ? first : first + depth.visible;
}

/** Calls that all workers alive have finished. */
export function finished({ workers }: QueueSnapshot): number {
  return workers.reduce((sum, { done }) => sum + done, 0);
}

/**
 * How many calls are before one that was sent earlier. SQS tells no places: it is the calls that were before it then, less
 * those finished since (a worker that went away takes its count along, so this errs to the long side), and never more than
 * there are now.
 */
export function placeNow(
  snapshot: QueueSnapshot,
  then: { ahead: number; finished: number },
  priority: Priority,
): number {
  const since = Math.max(0, finished(snapshot) - then.finished);
  return Math.max(0, Math.min(then.ahead - since, waiting(snapshot, priority)));
}

/** What a call with so many before it must expect. */
export function etaIn(snapshot: QueueSnapshot, api: string, ahead: number, now: number): Eta | undefined {
  return estimate({ workers: snapshot.workers, starts: snapshot.starts, api, ahead, now });
}
