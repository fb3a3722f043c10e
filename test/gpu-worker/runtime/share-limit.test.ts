import { expect, it } from "vitest";
import { ShareLimit } from "#gpu-worker/runtime/share-limit.ts";

/** Full runs that go well until one call more shares one; undefined where that never happens. */
function untilMore(limit: ShareLimit): number | undefined {
  const { calls } = limit;
  for (let runs = 1; runs <= 5000; runs++) {
    limit.wentWell(calls);
    if (limit.calls > calls) {
      expect(limit.calls).toBe(calls + 1);
      return runs;
    }
  }
  return undefined;
}

it("is halved by a run that failed, and grows by one call after 16 full runs that went well", () => {
  const limit = new ShareLimit(8);
  expect(limit.failed(6)).toBe(3);
  expect([untilMore(limit), untilMore(limit)]).toEqual([16, 16]);
  expect(limit.calls).toBe(5);
});

it("comes back from one call a run, and never gets over the most", () => {
  const limit = new ShareLimit(2);
  expect(untilMore(limit)).toBeUndefined();
  expect(limit.failed(2)).toBe(1);
  expect(untilMore(limit)).toBe(16);
  expect(untilMore(limit)).toBeUndefined();
});

it("waits for twice as many runs after each failure, 1024 at most", () => {
  const limit = new ShareLimit(2);
  const waits = Array.from({ length: 9 }, () => {
    limit.failed(2);
    return untilMore(limit);
  });
  expect(waits).toEqual([16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
});

it("learns nothing of runs that fewer calls share, and begins anew when one failed", () => {
  const limit = new ShareLimit(8);
  limit.failed(8);
  for (let run = 0; run < 100; run++) limit.wentWell(3);
  expect(limit.calls).toBe(4);
  for (let run = 0; run < 15; run++) limit.wentWell(4);
  limit.failed(4);
  limit.wentWell(2);
  expect(limit.calls).toBe(2);
});
