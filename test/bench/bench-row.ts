/** One figure of a benchmark. */
export interface BenchRow {
  name: string;
  /** Median of the rounds. */
  value: number;
  unit: string;
  /** To what the name says, in the same round: the median of the rounds' ratios. */
  ratio?: number;
  /** What the ratio, or the value where there is none, may be at most. */
  bound?: number;
  /** Least and largest of the rounds' ratios, or of their values where there is none. */
  spread: [number, number];
}

/**
 * A figure from one value a round, in milliseconds; with `base`, as a ratio to it. Each round is compared with itself, so
 * that what slows the machine for a while slows both sides.
 */
export function figure(name: string, values: readonly number[], base?: readonly number[], bound?: number): BenchRow {
  const ratios = base?.map((time, round) => values[round]! / time);
  const spread = ratios ?? values;
  return {
    name,
    value: median(values),
    unit: "ms",
    ...(ratios && { ratio: median(ratios) }),
    ...(bound !== undefined && { bound }),
    spread: [Math.min(...spread), Math.max(...spread)],
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** Prints figures as a table and gives how many are over their bound. */
export function report(rows: readonly BenchRow[]): number {
  const short = (value: number): string => String(Number(value.toPrecision(3)));
  let over = 0;
  console.table(
    Object.fromEntries(
      rows.map(({ name, value, unit, ratio, bound, spread }) => {
        const kept = bound === undefined ? "" : (ratio ?? value) <= bound ? "yes" : "NO";
        if (kept === "NO") over++;
        const measured = { value: `${short(value)} ${unit}`, ratio: ratio === undefined ? "" : short(ratio) };
        return [name, { ...measured, spread: spread.map(short).join(" .. "), bound: bound ?? "", kept }];
      }),
    ),
  );
  return over;
}
