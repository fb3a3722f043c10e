/** Full runs that must go well before one call more shares one; twice as many after each that failed, up to the most. */
const PATIENCE = 16;
const MOST_PATIENCE = 1024;

/** How many calls share a run: half as many after a shared run that failed, and one more again after enough that went well. */
export class ShareLimit {
  readonly #most: number;
  #calls: number;
  #patience = PATIENCE / 2;
  /** Full runs that went well since the limit last changed. */
  #well = 0;

  /** @param most calls of a run, when none has failed. */
  constructor(most: number) {
    this.#most = most;
    this.#calls = most;
  }

  get calls(): number {
    return this.#calls;
  }

  /** Tells that a run went well. @param calls that were in it: fewer than share one say nothing of more. */
  wentWell(calls: number): void {
    if (this.#calls === this.#most || calls < this.#calls || ++this.#well < this.#patience) return;
    this.#calls++;
    this.#well = 0;
  }

  /** Tells that a shared run failed. @param calls that were in it. @returns {@link calls} from now on. */
  failed(calls: number): number {
    this.#calls = Math.max(1, calls >> 1);
    this.#well = 0;
    this.#patience = Math.min(2 * this.#patience, MOST_PATIENCE);
    return this.#calls;
  }
}
