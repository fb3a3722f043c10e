import { expect, test } from "vitest";
import { chaos } from "./chaos.ts";

test("no call is lost or answered twice while workers and the queue's server die", async () => {
  const outcome = await chaos({
    calls: 60,
    workers: 2,
    pace: 50,
    killSeconds: 1.4,
    emulatorKills: 1,
    twice: 0.1,
    visibilityTimeout: 2,
  });
  expect(outcome.failures).toEqual([]);
  expect(outcome.different).toBe(0);
  expect(outcome.times).toHaveLength(60);
  expect(outcome.kills).toBeGreaterThan(0);
  expect(outcome.emulatorRestarts).toBe(1);
});
