import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { OnnxSession } from "#gpu-worker/onnx/session.ts";
import type { GeneratedImages, GenerateParams } from "#gpu-worker/pipelines/generate-params.ts";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import type { Batching } from "#gpu-worker/runtime/batching.ts";
import { type LoopEvents, PictureLoop } from "#gpu-worker/runtime/picture-loop.ts";
import { boxOutline, MODEL_DIR, maxDifference } from "../model.ts";

let pipeline: SDXLControlNetPipeline;
beforeAll(async () => {
  pipeline = await SDXLControlNetPipeline.load(MODEL_DIR);
});
afterAll(() => pipeline?.release());
afterEach(() => void vi.restoreAllMocks());

const [SMALL, WIDE] = [boxOutline(32, 32), boxOutline(32, 64)];
const call = (numInferenceSteps: number, change: Partial<GenerateParams> = {}): GenerateParams => ({
  prompt: "a red house",
  image: SMALL,
  numInferenceSteps,
  seed: 1,
  ...change,
});
const shared: Batching = {
  calls: 8,
  rowBytes: 1,
  nativePixels: 32 * 32,
  seenRows: 2,
  decodePixelBytes: 0,
  memoryBytes: 2 ** 40,
  measured: [],
};
const alone: Batching = { ...shared, calls: 1 };

/** A loop with what it told, and hooks for what happens between its runs. */
function loopOf(batching: Batching, afterRun: (run: number, loop: PictureLoop) => void = () => {}) {
  const told = {
    /** Ids of the calls of each run, and the step that each did. */
    runs: [] as Record<number, number>[],
    done: new Map<number, GeneratedImages>(),
    failed: new Map<number, unknown>(),
    ended: [] as number[],
    narrowed: [] as number[],
  };
  let stopped = false;
  const events: LoopEvents = {
    stepped: (steps) => {
      told.runs.push(Object.fromEntries(steps.map(({ id, step }) => [id, step])));
      afterRun(told.runs.length, loop);
    },
    done: (id, result) => {
      told.done.set(id, result);
      told.ended.push(id);
    },
    failed: (id, error) => {
      told.failed.set(id, error);
      told.ended.push(id);
    },
    narrowed: (calls) => told.narrowed.push(calls),
  };
  const loop = new PictureLoop(
    pipeline,
    batching,
    events,
    () => stopped,
    async () => 2 ** 30,
  );
  const stop = (): void => {
    stopped = true;
  };
  return { loop, told, stop };
}

async function expectPicture(found: GeneratedImages | undefined, params: GenerateParams): Promise<void> {
  const expected = await pipeline.generate(params);
  expect(found!.images).toHaveLength(expected.images.length);
  for (const [i, { data }] of found!.images.entries())
    expect(maxDifference(data as Uint8Array, expected.images[i]!.data as Uint8Array)).toBeLessThanOrEqual(1);
}

const ids = (run: Record<number, number>): number[] => Object.keys(run).map(Number);

describe("PictureLoop that shares runs", () => {
  it("lets calls join at their coming and leave when done, each at its own step", async () => {
    const asked = [call(6), call(4, { seed: 2, guidanceScale: 1 }), call(5, { seed: 3, scheduler: "euler_a" })];
    const { loop, told } = loopOf(shared, (run, loop) => {
      if (run < 3) loop.add(run, asked[run]!);
    });
    loop.add(0, asked[0]!);
    await loop.run();
    expect(told.runs).toEqual([
      { 0: 1 },
      { 0: 2, 1: 1 },
      { 0: 3, 1: 2, 2: 1 },
      { 0: 4, 1: 3, 2: 2 },
      { 0: 5, 1: 4, 2: 3 },
      { 0: 6, 2: 4 },
      { 2: 5 },
    ]);
    expect(told.ended).toEqual([1, 0, 2]);
    for (const [id, params] of asked.entries()) await expectPicture(told.done.get(id), params);
  });

  it("lets a canceled call take no further step, and says nothing of it", async () => {
    const { loop, told } = loopOf(shared, (run, loop) => {
      if (run === 2) loop.cancel(1);
    });
    const asked = [call(5), call(50, { seed: 2 }), call(5, { seed: 3 })];
    for (const [id, params] of asked.entries()) loop.add(id, params);
    await loop.run();
    expect(told.runs.map(ids)).toEqual([
      [0, 1, 2],
      [0, 1, 2],
      [0, 2],
      [0, 2],
      [0, 2],
    ]);
    expect(told.ended).toEqual([0, 2]);
    await expectPicture(told.done.get(2), asked[2]!);
  });

  it("keeps a call's failure from the others: wrong parameters, a prompt, a decoder that overflows", async () => {
    const { loop, told } = loopOf(shared);
    const prepare = vi.spyOn(pipeline, "prepare");
    const { prepare: real } = SDXLControlNetPipeline.prototype;
    prepare.mockImplementation((checked) =>
      checked.prompt === "unspeakable" ? Promise.reject(new Error("no such word")) : real.call(pipeline, checked),
    );
    const latents = new Float32Array(pipeline.check(call(4)).latentSize).fill(Number.NaN);
    const asked = [call(4), call(4, { guidanceScale: -1 }), call(4, { prompt: "unspeakable" }), call(4, { latents })];
    for (const [id, params] of asked.entries()) loop.add(id, params);
    expect(told.ended).toEqual([1]);
    await loop.run();
    expect(told.failed.get(1)).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(told.failed.get(2)).toMatchObject({ message: "no such word" });
    expect(told.failed.get(3)).toMatchObject({ message: expect.stringContaining("overflowed") });
    expect(told.runs.map(ids)).toEqual(Array(4).fill([0, 3]));
    await expectPicture(told.done.get(0), asked[0]!);
  });

  it("runs calls alone whose shared run failed, fails the one that fails alone, and shares less from then on", async () => {
    const { loop, told } = loopOf(shared);
    const { run: real } = OnnxSession.prototype;
    const run = vi.spyOn(OnnxSession.prototype, "run");
    const asked = [1, 2, 3, 4, 5].map((seed) => call(seed === 2 ? 2 : 4, { seed, guidanceScale: seed === 5 ? 1 : 5 }));
    // Rows of a run: 9 with all of them, 2 with guidance, 1 without.
    run.mockImplementation(function (this: OnnxSession, feeds, into) {
      const rows = feeds.sample?.shape[0];
      return rows === 9 || rows === 1
        ? Promise.reject(new Error(`no memory for ${rows}`))
        : real.call(this, feeds, into);
    });
    for (const [id, params] of asked.entries()) loop.add(id, params);
    await loop.run();
    run.mockRestore();
    expect(told.narrowed).toEqual([2]);
    expect(told.runs.slice(0, 4)).toEqual([{ 0: 1 }, { 1: 1 }, { 2: 1 }, { 3: 1 }]);
    expect(Math.max(...told.runs.slice(4).map((steps) => ids(steps).length))).toBe(2);
    expect(told.failed.get(4)).toMatchObject({ message: "no memory for 1" });
    for (const id of [0, 1, 2, 3]) await expectPicture(told.done.get(id), asked[id]!);
  });

  it("has one call more share a run again after 16 that went well", async () => {
    const { loop, told } = loopOf({ ...shared, calls: 2 });
    const { run: real } = OnnxSession.prototype;
    let failed = false;
    const run = vi.spyOn(OnnxSession.prototype, "run").mockImplementation(function (this: OnnxSession, feeds, into) {
      if (failed || feeds.sample?.shape[0] !== 4) return real.call(this, feeds, into);
      failed = true;
      return Promise.reject(new Error("no memory"));
    });
    for (const id of [0, 1]) loop.add(id, call(20, { seed: id }));
    await loop.run();
    run.mockRestore();
    expect(told.narrowed).toEqual([1]);
    const calls = told.runs.map((steps) => ids(steps).length);
    // Each alone after the failure, 16 of one call, and then what is left of the shorter one.
    expect(calls.slice(0, 22)).toEqual([...Array(18).fill(1), ...Array(3).fill(2), 1]);
    expect(told.ended).toEqual([0, 1]);
  });

  it("shares runs of a larger picture as far as its first one shows that memory goes", async () => {
    // By estimate a row takes 16 GiB; the first run takes no more than the 2 GiB that there were before.
    const { loop, told } = loopOf({ ...shared, rowBytes: 2 ** 30, memoryBytes: 5 * 2 ** 30 });
    for (const id of [0, 1, 2]) loop.add(id, call(3, { image: boxOutline(64, 64), seed: id }));
    await loop.run();
    expect(told.runs.slice(0, 3)).toEqual([{ 0: 1 }, { 0: 2, 1: 1 }, { 0: 3, 1: 2, 2: 1 }]);
  });

  it("leaves room for decoding the largest picture", async () => {
    const image = boxOutline(64, 64);
    const runs = async (memoryBytes: number) => {
      const { loop, told } = loopOf({ ...shared, decodePixelBytes: 2 ** 20, memoryBytes });
      for (const id of [0, 1]) loop.add(id, call(2, { image, seed: id }));
      await loop.run();
      return told.runs.map(ids);
    };
    const decoding = 64 * 64 * 2 ** 20;
    expect(await runs(decoding)).toEqual([[0], [0], [1], [1]]);
    expect(await runs(decoding + 2 ** 24)).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  it("shares runs as far as memory goes; the others wait in order and have not begun", async () => {
    const prepare = vi.spyOn(pipeline, "prepare");
    const begun: number[] = [];
    // Room for a run of three calls, and for what they hold.
    const { loop, told } = loopOf({ ...shared, rowBytes: 2 ** 30, memoryBytes: 6.9 * 2 ** 30 }, () => {
      begun.push(prepare.mock.calls.length);
    });
    const asked = [1, 2, 3, 4, 5].map((seed) => call(3, { seed }));
    for (const [id, params] of asked.entries()) loop.add(id, params);
    await loop.run();
    expect(told.runs.map(ids)).toEqual([
      [0, 1, 2],
      [0, 1, 2],
      [0, 1, 2],
      [3, 4],
      [3, 4],
      [3, 4],
    ]);
    expect(begun).toEqual([3, 3, 3, 5, 5, 5]);
  });

  it("draws a call alone that memory has no room for, and lets none begin before it that came later", async () => {
    const { loop, told } = loopOf({ ...shared, rowBytes: 2 ** 30, memoryBytes: 4.5 * 2 ** 30 });
    loop.add(0, call(3));
    loop.add(1, call(3, { image: boxOutline(64, 64) }));
    loop.add(2, call(3));
    await loop.run();
    expect(told.runs.flatMap((steps) => (Object.values(steps)[0] === 1 ? ids(steps) : []))).toEqual([0, 1, 2]);
    expect(told.runs.every((steps) => ids(steps).length === 1)).toBe(true);
    expect(told.ended.toSorted()).toEqual([0, 1, 2]);
  });
});

describe("PictureLoop, by turns", () => {
  it("draws equal calls one after the other where they don't share runs", async () => {
    const { loop, told } = loopOf(alone);
    for (const id of [0, 1, 2]) loop.add(id, call(3, { seed: id }));
    await loop.run();
    expect(told.runs).toEqual([
      { 0: 1 },
      { 0: 2 },
      { 0: 3 },
      { 1: 1 },
      { 1: 2 },
      { 1: 3 },
      { 2: 1 },
      { 2: 2 },
      { 2: 3 },
    ]);
  });

  it("lets a short call pass long ones of its own size and of another", async () => {
    const asked = [call(30), call(30, { image: WIDE }), call(4, { seed: 2 })];
    const { loop, told } = loopOf(alone, (run, loop) => {
      if (run === 5) loop.add(2, asked[2]!);
    });
    loop.add(0, asked[0]!);
    loop.add(1, asked[1]!);
    await loop.run();
    expect(told.ended[0]).toBe(2);
    // Its own four, two of the oldest call's beside them at the most.
    expect(told.runs.findIndex((steps) => steps[2] === 4)).toBeLessThan(5 + 4 + 2);
    for (const [id, params] of asked.entries()) await expectPicture(told.done.get(id), params);
  });

  it("shares runs of one size only, and still lets the sizes take turns", async () => {
    const asked = [call(12), call(12, { seed: 2 }), call(3, { image: WIDE }), call(3, { image: WIDE, seed: 2 })];
    const { loop, told } = loopOf(shared);
    for (const [id, params] of asked.entries()) loop.add(id, params);
    await loop.run();
    for (const steps of told.runs)
      expect([
        [0, 1],
        [2, 3],
      ]).toContainEqual(ids(steps));
    expect(told.ended).toEqual([2, 3, 0, 1]);
    for (const [id, params] of asked.entries()) await expectPicture(told.done.get(id), params);
  });

  it("stops between two runs when the process exits, and tells nobody", async () => {
    const { loop, told, stop } = loopOf(alone, (run) => run === 2 && stop());
    loop.add(0, call(50));
    await loop.run();
    expect(told.runs).toHaveLength(2);
    expect(told.ended).toEqual([]);
  });

  it("draws on when calls come after it had nothing left", async () => {
    const { loop, told } = loopOf(shared);
    await loop.run();
    loop.add(0, call(2));
    await loop.run();
    loop.add(1, call(2));
    await loop.run();
    expect(told.ended).toEqual([0, 1]);
  });
});
