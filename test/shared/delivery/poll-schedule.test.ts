import { describe, expect, it } from "vitest";
import { PollSchedule } from "#shared/delivery/poll-schedule.ts";

/** Milliseconds of a look. */
const LOOK = 0.5;

/** Looks until a result that is there after `takes` milliseconds: how many, and how late the last one is. */
function looks(takes: number, expected?: { mean: number; deviation: number }): { count: number; late: number } {
  const schedule = new PollSchedule(expected ? { expected: { ...expected, count: 10 } } : {});
  let [now, count] = [0, 0];
  do {
    now += schedule.next(now) + (count > 0 ? LOOK : 0);
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
    [10_000, { mean: 10, deviation: 0.3 }, 40, 76],
    [10_500, { mean: 10, deviation: 0.3 }, 45, 76],
    [8, undefined, 3, 5],
    [10_000, undefined, 25, 1000],
    [300, { mean: 0.3, deviation: 0.01 }, 20, 3.5],
    [300_000, { mean: 300, deviation: 3 }, 330, 751],
    // The expectation was wrong, either way.
    [2_000, { mean: 10, deviation: 0.3 }, 20, 1000],
    [60_000, { mean: 10, deviation: 0.3 }, 100, 1000],
  ])("a call of %d ms, expected %o: at most %d looks, %d ms late", (takes, expected, most, latest) => {
    const { count, late } = looks(takes, expected);
    expect(count).toBeLessThanOrEqual(most);
    expect(late).toBeLessThanOrEqual(latest);
  });

  it("two to five times where it comes within a deviation of 8 ms, and is seen within a millisecond", () => {
    for (let takes = 7; takes <= 9; takes += 0.05) {
      const { count, late } = looks(takes, { mean: 0.008, deviation: 0.001 });
      expect(count).toBeGreaterThanOrEqual(2);
      expect(count).toBeLessThanOrEqual(5);
      expect(late).toBeLessThanOrEqual(1);
    }
  });

  it.each([10_000 - 600, 10_000 - 299, 10_000 + 299, 10_000 + 600])(
    "closely around the expected finish: %d",
    (takes) => {
      const { count, late } = looks(takes, { mean: 10, deviation: 0.3 });
      expect(count).toBeLessThanOrEqual(40);
      expect(late).toBeLessThanOrEqual(150);
    },
  );

  it("one look after the other for a brief call, and no further than it is expected", () => {
    const schedule = new PollSchedule({ expected: { mean: 0.008, deviation: 0.001, count: 9 } });
    expect([schedule.next(0), schedule.next(6), schedule.next(9.9)]).toEqual([6, 0.25, 0.25]);
    const overdue = Array.from({ length: 40 }, (_, i) => schedule.next(10 + i));
    expect(overdue[0]).toBeGreaterThan(1);
    expect(overdue.at(-1)).toBe(1000);
  });

  it("never at once where none is due, whatever is expected", () => {
    for (const expected of [
      { mean: 0, deviation: 0, count: 1 },
      { mean: 1e9, deviation: 0, count: 1 },
    ])
      for (const elapsed of [0, 1, 1e3, 1e12])
        expect(new PollSchedule({ expected }).next(elapsed)).toBeGreaterThanOrEqual(1);
  });
});
