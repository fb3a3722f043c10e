import { expect, it } from "vitest";
import type { Batching } from "#gpu-worker/runtime/batching.ts";
import { RunMemory } from "#gpu-worker/runtime/run-memory.ts";

const batching: Batching = {
  calls: 8,
  rowBytes: 100,
  nativePixels: 64,
  seenRows: 2,
  decodePixelBytes: 10,
  memoryBytes: 1000,
  measured: [],
};

/** Memory of a process that grows by so much in each run that is measured. */
function memoryThatGrows(...by: (number | undefined)[]) {
  let [used, asked]: [number | undefined, number] = [5000, 0];
  const memory = new RunMemory(batching, async () => {
    asked++;
    return used;
  });
  const run = async (rows: number, pixels: number): Promise<number> => {
    await memory.measure(rows, pixels, async () => {
      const grown = by.shift();
      used = grown === undefined || used === undefined ? undefined : used + grown;
    });
    return memory.ofRun(1, pixels);
  };
  return { memory, run, asked: () => asked };
}

it("is an estimate above the model's own size, and what a run took at most once there was one", async () => {
  // Two rows had 200 before.
  const { memory, run, asked } = memoryThatGrows(100, 0, 0);
  expect(memory.ofRun(2, 128)).toBe(800);
  expect(await run(2, 128)).toBe(150);
  expect(memory.ofRun(4, 128)).toBe(600);
  expect(await run(4, 128)).toBe(75);
  expect(await run(3, 128)).toBe(75);
  expect(asked()).toBe(4);
  expect(memory.ofRun(1, 256)).toBe(1600);
});

it("is more than the estimate where the process grew by more", async () => {
  const { run } = memoryThatGrows(8000);
  expect(await run(2, 256)).toBe(4000);
});

it("is never more than the estimate for what earlier runs had", async () => {
  const { run } = memoryThatGrows(8000, 0);
  await run(2, 256);
  expect(await run(2, 128)).toBe(400);
});

it("stays an estimate where nobody tells, and is asked for once a size", async () => {
  const { run, asked } = memoryThatGrows(undefined, undefined);
  expect(await run(2, 128)).toBe(400);
  expect(await run(2, 128)).toBe(400);
  expect(asked()).toBe(2);
});

it("is not measured up to the model's own size, nor of a run that fails", async () => {
  const { memory, run, asked } = memoryThatGrows(500);
  expect(await run(8, 64)).toBe(100);
  expect(asked()).toBe(0);
  const fails = memory.measure(2, 128, () => Promise.reject(new Error("no memory")));
  await expect(fails).rejects.toThrow("no memory");
  expect(memory.ofRun(1, 128)).toBe(400);
});

it("of decoding is by the pixels, above those that the first picture has had decoded", () => {
  const { memory } = memoryThatGrows();
  expect([64, 65].map((pixels) => memory.ofDecoding(pixels))).toEqual([0, 650]);
});
