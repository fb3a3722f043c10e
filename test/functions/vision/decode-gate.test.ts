import { expect, test } from "vitest";
import { DecodeGate } from "#functions/vision/decode-gate.ts";

function task() {
  const { promise, resolve } = Promise.withResolvers<void>();
  let started = false;
  const work = () => {
    started = true;
    return promise;
  };
  return { work, finish: resolve, started: () => started };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("what fits runs at once; what does not waits its turn, also when it is small", async () => {
  const gate = new DecodeGate(100);
  const [a, b, c, d] = [task(), task(), task(), task()];
  const runs = [gate.run(60, a.work), gate.run(40, b.work), gate.run(70, c.work), gate.run(1, d.work)];
  await settle();
  expect([a, b, c, d].map((t) => t.started())).toEqual([true, true, false, false]);
  b.finish();
  await settle();
  expect([c, d].map((t) => t.started())).toEqual([false, false]);
  a.finish();
  await settle();
  expect([c, d].map((t) => t.started())).toEqual([true, true]);
  c.finish();
  d.finish();
  await Promise.all(runs);
});

test("more than the whole budget runs alone; failures free what they held", async () => {
  const gate = new DecodeGate(100);
  await expect(gate.run(1000, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  const [big, small] = [task(), task()];
  const runs = [gate.run(1000, big.work), gate.run(1, small.work)];
  await settle();
  expect([big.started(), small.started()]).toEqual([true, false]);
  big.finish();
  small.finish();
  await Promise.all(runs);
});

test("an aborted wait leaves the queue with the signal's reason and lets the next one in", async () => {
  const gate = new DecodeGate(100);
  const [a, b, c] = [task(), task(), task()];
  const controller = new AbortController();
  const first = gate.run(50, a.work);
  const second = gate.run(100, b.work, controller.signal);
  const third = gate.run(50, c.work);
  await settle();
  expect(c.started()).toBe(false);
  const reason = new Error("gone");
  controller.abort(reason);
  await expect(second).rejects.toBe(reason);
  await settle();
  expect([b.started(), c.started()]).toEqual([false, true]);
  a.finish();
  c.finish();
  await Promise.all([first, third]);
  await expect(gate.run(1, a.work, AbortSignal.abort(reason))).rejects.toBe(reason);
});
