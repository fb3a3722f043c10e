/** A call that could take its next step. */
export interface Turn {
  /** Work of the next step: rows times pixels. */
  readonly cost: number;
  /** Work of all steps that are left. */
  readonly remaining: number;
}

/** The oldest call's part of the work, while others would come before it: one of three. */
const OTHERS_PER_OLDEST = 2;

/**
 * Says which call takes the next step: the one with the least work left, so that a short call does not wait behind long
 * ones, and the oldest of equals. So that no stream of short calls holds up a long one, a third of the work is the oldest
 * call's: it takes three times as long as alone at the most.
 */
export class Turns<T extends Turn> {
  #oldest: T | undefined;
  /** Work that the oldest call may do before others. */
  #owed = 0;

  /** @param calls in the order of their coming, at least one. */
  next(calls: readonly T[]): T {
    const oldest = calls[0]!;
    if (oldest !== this.#oldest) {
      this.#oldest = oldest;
      this.#owed = 0;
    }
    if (this.#owed >= oldest.cost) return oldest;
    return calls.reduce((best, call) => (call.remaining < best.remaining ? call : best));
  }

  /** Tells that a call takes no more steps. */
  left(call: T): void {
    if (call === this.#oldest) this.#oldest = undefined;
  }

  /** Tells who took a step, in one run or one after the other. */
  took(calls: readonly T[]): void {
    if (this.#oldest === undefined) return;
    if (calls.includes(this.#oldest)) this.#owed = Math.max(0, this.#owed - this.#oldest.cost);
    else this.#owed += calls.reduce((sum, { cost }) => sum + cost, 0) / OTHERS_PER_OLDEST;
  }
}
