import { expect, test } from "vitest";
import { isGivenUp, MAX_RECEIVE_COUNT, poison } from "./poison.ts";

test("a call that kills its worker each time is given up, and no other call suffers", async () => {
  const outcome = await poison({ good: 20, workers: 2, places: 1, timeout: 40, visibilityTimeout: 1 });
  expect(isGivenUp(outcome), String(outcome.error)).toBe(true);
  expect(outcome.deaths).toBe(MAX_RECEIVE_COUNT);
  expect(outcome.failures).toEqual([]);
  expect(outcome.reasons).toEqual([
    `Stub.work was given up after ${MAX_RECEIVE_COUNT} tries: its worker died or did not come to an end each time`,
  ]);
});
