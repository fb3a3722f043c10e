import { expect, it } from "vitest";
import { type Turn, Turns } from "#gpu-worker/runtime/turns.ts";

interface Call extends Turn {
  name: string;
  cost: number;
  remaining: number;
}

const call = (name: string, cost: number, steps: number): Call => ({ name, cost, remaining: cost * steps });

/** Lets the calls take turns until all are done: who took each step, and the work that was done when each was done. */
function play(calls: Call[], arrive: (step: number) => Call | undefined = () => undefined) {
  const turns = new Turns<Call>();
  const [order, ends, waiting]: [string[], Record<string, number>, Call[]] = [[], {}, [...calls]];
  let work = 0;
  for (let step = 0; waiting.length > 0 && step < 10_000; step++) {
    const taking = turns.next(waiting);
    order.push(taking.name);
    work += taking.cost;
    taking.remaining -= taking.cost;
    turns.took([taking]);
    if (taking.remaining <= 0) {
      ends[taking.name] = work;
      waiting.splice(waiting.indexOf(taking), 1);
      turns.left(taking);
    }
    const coming = arrive(step);
    if (coming) waiting.push(coming);
  }
  return { order: order.join(""), ends };
}

it("lets equal calls go one after the other: nobody is served by sharing time", () => {
  expect(play([call("a", 1, 4), call("b", 1, 4), call("c", 1, 4)]).order).toBe("aaaabbbbcccc");
});

it("lets a short call pass long ones, whatever their sizes", () => {
  const { ends } = play([call("a", 16, 50), call("b", 16, 50), call("c", 1, 25)]);
  // Its own 25, and the oldest call's part beside it.
  expect(ends.c).toBeLessThanOrEqual(25 + 25 / 2 + 16);
  expect(ends.a).toBeLessThan(ends.b!);
});

it("gives the oldest call a third of the work, though shorter ones keep coming", () => {
  const { order, ends } = play([call("a", 4, 30)], (step) => (step < 2000 ? call("s", 1, 3) : undefined));
  expect(ends.a).toBeLessThanOrEqual(3 * 4 * 30 + 8);
  expect(order.slice(0, 60)).toContain("a");
});

it("counts a shared run once for each that took it, and nothing for one that has left", () => {
  const turns = new Turns<Call>();
  const [old, short, other] = [call("a", 4, 10), call("s", 1, 3), call("o", 1, 3)];
  expect(turns.next([old, short, other])).toBe(short);
  for (let run = 0; run < 4; run++) turns.took([short, other]);
  expect(turns.next([old, short, other])).toBe(old);
  turns.took([old, short, other]);
  expect(turns.next([old, short, other])).toBe(short);
  for (let run = 0; run < 4; run++) turns.took([short, other]);
  turns.left(old);
  expect(turns.next([short, other])).toBe(short);
});
