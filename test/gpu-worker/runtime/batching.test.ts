import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { NoiseGraph } from "#gpu-worker/pipelines/noise-graph.ts";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import { StepBatch } from "#gpu-worker/pipelines/step-batch.ts";
import { type Batching, batchingFromEnvironment, runBytes, usefulPlaces } from "#gpu-worker/runtime/batching.ts";
import { decideBatching } from "#gpu-worker/runtime/measure-batching.ts";
import { MODEL_DIR } from "../model.ts";

const batching: Batching = {
  calls: 8,
  rowBytes: 100,
  nativePixels: 64,
  seenRows: 2,
  decodePixelBytes: 1,
  memoryBytes: 1000,
  measured: [],
};

describe("batching's settings", () => {
  it("come from the environment", () => {
    expect(batchingFromEnvironment({})).toEqual({ mode: "auto" });
    expect(batchingFromEnvironment({ TANDEM_BATCHING: "on", TANDEM_BATCH_MEMORY_MB: "512" })).toEqual({
      mode: "on",
      memoryBytes: 512 * 2 ** 20,
    });
  });

  it.each([{ TANDEM_BATCHING: "yes" }, { TANDEM_BATCH_MEMORY_MB: "2 GB" }, { TANDEM_BATCH_MEMORY_MB: "0" }])(
    "refuse %j, naming the variable",
    (env) => {
      expect(() => batchingFromEnvironment(env)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(Object.keys(env)[0]!) }),
      );
    },
  );

  it("count memory by rows and pixels, by their square above the model's own size", () => {
    expect(runBytes(batching, 2, 64)).toBe(200);
    expect(runBytes(batching, 2, 16)).toBe(50);
    expect(runBytes(batching, 1, 128)).toBe(400);
  });

  it("take as many messages as share a run, and one beside the one in work where none do", () => {
    expect(usefulPlaces({ ...batching, memoryBytes: 1e6 })).toBe(8);
    expect(usefulPlaces(batching)).toBe(5);
    expect(usefulPlaces({ ...batching, memoryBytes: 1 })).toBe(2);
    expect(usefulPlaces({ ...batching, calls: 1 })).toBe(2);
  });
});

describe("deciding on a machine", () => {
  let pipeline: SDXLControlNetPipeline;
  beforeAll(async () => {
    pipeline = await SDXLControlNetPipeline.load(MODEL_DIR);
  });
  afterAll(() => pipeline.release());

  /** A graph whose runs of so many rows take so many milliseconds. */
  async function decideWith(
    milliseconds: (rows: number) => number,
    memoryBytes?: number,
    mode: "auto" | "on" = "auto",
  ) {
    let runs = 0;
    const step = vi.spyOn(StepBatch.prototype, "step").mockImplementation(async function (this: StepBatch) {
      runs++;
      const ms = milliseconds(this.calls.reduce((sum, { denoising }) => sum + denoising.rows, 0));
      return { stepMs: ms, runMs: ms };
    });
    const found = await decideBatching(pipeline, { mode, memoryBytes }, {}).finally(() => step.mockRestore());
    return { ...found, runs };
  }

  it("leaves it off where a run takes as long as its rows", async () => {
    const { calls, measured, runs } = await decideWith((rows) => 10 * rows);
    expect({ calls, measured, runs }).toEqual({ calls: 1, measured: [{ calls: 2, ratio: 1 }], runs: 6 });
  });

  it("shares runs where they take as long whatever their rows", async () => {
    const { calls, measured } = await decideWith(() => 10);
    expect(calls).toBe(8);
    expect(measured).toEqual([2, 4, 8].map((size) => ({ calls: size, ratio: 1 / size })));
  });

  it("takes the size of the best run, and none that gains too little", async () => {
    expect((await decideWith((rows) => (rows <= 8 ? 10 : 100))).calls).toBe(4);
    expect((await decideWith((rows) => 10 + 6 * rows)).calls).toBe(1);
  });

  it("tries no run that memory has no room for, and none where a step takes seconds", async () => {
    const row = (await decideWith(() => 10)).rowBytes;
    expect((await decideWith(() => 10, 9 * row)).calls).toBe(4);
    expect(await decideWith(() => 10_000)).toMatchObject({ calls: 1, measured: [] });
  });

  it("starts all the same where a run has too little memory, with the sizes that went well", async () => {
    const most = (rows: number) => (size: number) => {
      if (size > rows) throw new Error("out of memory");
      return 10;
    };
    expect((await decideWith(most(8))).calls).toBe(4);
    expect((await decideWith(most(8), undefined, "on")).calls).toBe(4);
    expect((await decideWith(most(2), undefined, "on")).calls).toBe(1);
    await expect(decideWith(most(0))).rejects.toThrow("out of memory");
  });

  it("tells how many rows a run had, and what the decoder takes: 8 maps of its first level's width", async () => {
    expect(await decideWith(() => 10)).toMatchObject({ seenRows: 16, decodePixelBytes: 8 * 16 * 4 });
    expect(await decideWith((rows) => 10 * rows)).toMatchObject({ seenRows: 4 });
    const failing = (rows: number): number => {
      if (rows > 8) throw new Error("out of memory");
      return 10;
    };
    expect(await decideWith(failing)).toMatchObject({ seenRows: 8 });
    expect(await decideBatching(pipeline, { mode: "off" }, {})).toMatchObject({ seenRows: 2 });
  });

  it("runs nothing when off, and all sizes when on", async () => {
    expect(await decideBatching(pipeline, { mode: "off" }, {})).toMatchObject({ calls: 1, measured: [] });
    const on = await decideBatching(pipeline, { mode: "on" }, {});
    expect(on.calls).toBe(8);
    expect(on.measured.map(({ calls }) => calls)).toEqual([2, 4, 8]);
    for (const { ratio } of on.measured) expect(ratio).toBeGreaterThan(0);
    expect(on.memoryBytes).toBeGreaterThan(2 ** 20);
  });

  it("leaves it off for a graph that takes one timestep for all rows", async () => {
    const takesRows = vi.spyOn(NoiseGraph.prototype, "takesRows", "get").mockReturnValue(false);
    expect(await decideBatching(pipeline, { mode: "on" }, {})).toMatchObject({ calls: 1 });
    takesRows.mockRestore();
  });
});
