/** A process that ran this long before it died starts its back-off anew. */
const HEALTHY_SECONDS = 30;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;

/** Deaths in a row, before anything has started, after which starting is given up. */
export const FUTILE_STARTS = 5;

/**
 * How long to wait before a process that has died is started again.
 * @param deaths deaths in a row before this one.
 * @param startedAt when it was started, by `performance.now()`.
 * @returns the deaths in a row and the pause in milliseconds.
 */
export function afterDeath(deaths: number, startedAt: number): { deaths: number; wait: number } {
  const lived = (performance.now() - startedAt) / 1000;
  const now = lived > HEALTHY_SECONDS ? 1 : deaths + 1;
  return { deaths: now, wait: Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (now - 1)) };
}
