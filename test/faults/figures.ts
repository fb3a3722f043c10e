import type { BenchRow } from "../bench/bench-row.ts";

/** A figure that is only looked at. */
export function seen(name: string, value: number, unit = ""): BenchRow {
  return { name, value, unit, spread: [value, value] };
}

/** A figure with a bound. */
export function atMost(name: string, value: number, unit: string, bound: number): BenchRow {
  return { ...seen(name, value, unit), bound };
}

/** @param sorted values in ascending order. @param share 0.5 for the median. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
