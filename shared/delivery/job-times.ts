/** How long something takes: seconds. */
export interface JobTime {
  readonly mean: number;
  /** Mean absolute deviation. */
  readonly deviation: number;
  /** How many were seen. */
  readonly count: number;
}

/**
 * Mean and mean absolute deviation of what is measured, an api each, in which old values fade: the estimator of TCP's
 * round-trip time (RFC 6298, section 2).
 */
export class JobTimes {
  readonly #times = new Map<string, JobTime>();

  learn(api: string, seconds: number): void {
    const known = this.#times.get(api);
    if (!known) {
      this.#times.set(api, { mean: seconds, deviation: seconds / 2, count: 1 });
      return;
    }
    const { mean, deviation, count } = known;
    this.#times.set(api, {
      mean: mean + (seconds - mean) / 8,
      deviation: deviation + (Math.abs(seconds - mean) - deviation) / 4,
      count: count + 1,
    });
  }

  of(api: string): JobTime | undefined {
    return this.#times.get(api);
  }

  all(): Record<string, JobTime> {
    return Object.fromEntries(this.#times);
  }
}
