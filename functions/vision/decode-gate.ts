/**
 * Bounds the memory that pictures being decoded at one time hold: a decode states its bytes and waits, first come first
 * served, until they fit into the budget. One that needs more than the whole budget runs alone.
 */
export class DecodeGate {
  readonly #budget: number;
  #held = 0;
  #waiting: { bytes: number; start: () => void }[] = [];

  /** @param budget Bytes. */
  constructor(budget: number) {
    this.#budget = budget;
  }

  /** Runs `work` once `bytes` are free. Rejects with the signal's reason if that fires before the work starts. */
  async run<T>(bytes: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const cost = Math.min(bytes, this.#budget);
    if (this.#waiting.length > 0 || this.#held + cost > this.#budget) await this.#wait(cost, signal);
    else this.#held += cost;
    try {
      return await work();
    } finally {
      this.#held -= cost;
      this.#admit();
    }
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        reject(signal?.reason);
        this.#admit();
      };
      const start = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const entry = { bytes, start };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.push(entry);
    });
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && this.#held + next.bytes <= this.#budget; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#held += next.bytes;
      next.start();
    }
  }
}
