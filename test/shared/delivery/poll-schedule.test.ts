import { describe, expect, it } from "vitest";
import { PollSchedule } from "#shared/delivery/poll-schedule.ts";

/** Looks until a result that is there after `takes` milliseconds: how many, and how late the last one is. */
function looks(takes: number, expected?: { mean: number; deviation: number }): { count: number; late: number } {
  const schedule = new PollSchedule(expected ? { expected: { ...expected, count: 10 } } : {});
  let [now, count] = [0, 0];
  do {
    now += schedule.next(now);
    count++;
  } while (now < takes);
  return { count, late: now - takes };
}

describe("a result is looked for", () => {
  it("soon, then less and less often, once a second at least", () => {
    const schedule = new PollSchedule({});
    const pauses = Array.from({ length: 20 }, (_, i) => schedule.next(i * 1000));
    expect(pauses[0]).toBeCloseTo(5);
    expect(pauses.toSorted((a, b) => a - b)).toEqual(pauses);
    expect(pauses.at(-1)).toBe(1000);
  });

  it.each([
    // What it takes, what is expected (seconds), most looks, most milliseconds late.
    [300_000, undefined, 320, 1000],
    [300, undefined, 10, 160],
    [8, { mean: 0.008, deviation: 0.001 }, 4, 1],
    [9.5, { mean: 0.008, deviation: 0.001 }, 6, 1],
    [10_000, { mean: 10, deviation: 0.3 }, 40, 75],
    [10_500, { mean: 10, deviation: 0.3 }, 45, 75],
    // The expectation was wrong, either way.
    [2_000, { mean: 10, deviation: 0.3 }, 20, 1000],
    [60_000, { mean: 10, deviation: 0.3 }, 100, 1000],
  ])("a call of %d ms, expected %o: at most %d looks, %d ms late", (takes, expected, most, latest) => {
    const { count, late } = looks(takes, expected);
    expect(count).toBeLessThanOrEqual(most);
    expect(late).toBeLessThanOrEqual(latest);
  });

  it("never at once, whatever is expected", () => {
    for (const expected of [
      { mean: 0, deviation: 0, count: 1 },
      { mean: 1e9, deviation: 0, count: 1 },
    ])
      for (const elapsed of [0, 1, 1e3, 1e12])
        expect(new PollSchedule({ expected }).next(elapsed)).toBeGreaterThanOrEqual(1);
  });
});
