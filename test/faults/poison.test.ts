import { expect, test } from "vitest";
import { isGivenUp, MAX_RECEIVE_COUNT, poison } from "./poison.ts";

// A few seconds; on a machine with no time to spare a worker may die late, and leaves a lease of 15 s each time.
test("a call that kills its worker each time is given up, and no other call suffers", async () => {
  const outcome = await poison({ good: 20, workers: 2, places: 2, timeout: 100, visibilityTimeout: 1 });
  expect(isGivenUp(outcome), String(outcome.error)).toBe(true);
  // Once more where another call ran beside it at its last delivery: then neither is to blame for certain.
  expect(outcome.deaths - MAX_RECEIVE_COUNT).toBeOneOf([0, 1]);
  expect(outcome.failures).toEqual([]);
  expect(outcome.reasons).toEqual([
    `Stub.work was given up after ${MAX_RECEIVE_COUNT} tries: its worker died or did not come to an end each time`,
  ]);
}, 150_000);
