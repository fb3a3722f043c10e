import { setTimeout as sleep } from "node:timers/promises";

/** Times in a row that nothing may be in work. */
const CHECKS = 3;
const BETWEEN_MS = 5;

/** What a program still works on. A deployment's process ends by itself when there is no more; a test's does not. */
export class Pending {
  #count = 0;
  #started = 0;

  /** @returns the value itself; a promise counts as work until it settles. */
  track<T>(value: T): T {
    if (!(value instanceof Promise)) return value;
    this.#count++;
    this.#started++;
    const settled = () => {
      this.#count--;
    };
    value.then(settled, settled);
    return value;
  }

  async none(): Promise<void> {
    let quiet = 0;
    let started = this.#started;
    while (quiet < CHECKS) {
      await sleep(BETWEEN_MS);
      quiet = this.#count === 0 && started === this.#started ? quiet + 1 : 0;
      started = this.#started;
    }
  }
}
