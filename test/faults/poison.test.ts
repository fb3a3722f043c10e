import { expect, test } from "vitest";
import { isGivenUp, MAX_RECEIVE_COUNT, poison } from "./poison.ts";

test("a call that kills its worker each time is given up, and no other call suffers", async () => {
  const outcome = await poison({ good: 20, workers: 2, places: 2, timeout: 40, visibilityTimeout: 1 });
  expect(isGivenUp(outcome), String(outcome.error)).toBe(true);
  // Once more where another call ran beside it at its last delivery: then neither is to blame for certain.
  expect(outcome.deaths - MAX_RECEIVE_COUNT).toBeOneOf([0, 1]);
  expect(outcome.failures).toEqual([]);
  expect(outcome.reasons).toEqual([
    `Stub.work was given up after ${MAX_RECEIVE_COUNT} tries: its worker died or did not come to an end each time`,
  ]);
});
