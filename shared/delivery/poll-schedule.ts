import type { JobTime } from "./job-times.ts";

const FIRST_MS = 5;
const GROWTH = 1.5;
const LONGEST_MS = 1_000;
/** Around the expected finish looks are this close at the least; those for a brief call follow one another. */
const CLOSEST_MS = 1;
/** A call of up to so long is not looked for before it may be there. */
const BRIEF_MS = 250;

/**
 * When to look whether a result is there. Without knowledge: soon, then after pauses that grow to a second. With it: the
 * same until the result may be there, close together while it is expected (within two deviations of the mean), and
 * after pauses that grow anew once it is overdue.
 */
export class PollSchedule {
  readonly #from: number;
  readonly #to: number;
  readonly #close: number;
  readonly #brief: boolean;
  #pause = FIRST_MS / GROWTH;
  #overdue = false;

  /** @param expected seconds from sending to the result. */
  constructor({ expected }: { expected?: JobTime }) {
    const mean = (expected?.mean ?? Number.POSITIVE_INFINITY) * 1000;
    const deviation = (expected?.deviation ?? 0) * 1000;
    this.#from = Math.max(0, mean - 2 * deviation);
    this.#to = mean + 2 * deviation;
    this.#brief = mean <= BRIEF_MS;
    this.#close = Math.max(this.#brief ? 0 : CLOSEST_MS, deviation / 4);
  }

  /** Milliseconds to wait before the next look, `elapsed` milliseconds after sending. */
  next(elapsed: number): number {
    if (elapsed < this.#from) {
      const left = Math.max(CLOSEST_MS, this.#from - elapsed);
      return this.#brief ? left : Math.min(left, this.#grown());
    }
    if (elapsed < this.#to) return Math.min(this.#close, LONGEST_MS);
    if (!this.#overdue) {
      this.#overdue = true;
      this.#pause = Math.min(Math.max(CLOSEST_MS, this.#close), LONGEST_MS);
    }
    return this.#grown();
  }

  #grown(): number {
    this.#pause = Math.min(LONGEST_MS, this.#pause * GROWTH);
    return this.#pause;
  }
}
