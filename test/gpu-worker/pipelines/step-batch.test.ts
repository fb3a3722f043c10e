import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OnnxSession } from "#gpu-worker/onnx/session.ts";
import type { GenerateParams } from "#gpu-worker/pipelines/generate-params.ts";
import { NoiseGraph } from "#gpu-worker/pipelines/noise-graph.ts";
import { type PictureCall, SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import type { NDArray } from "#shared/codec/ndarray.ts";
import { boxOutline, MODEL_DIR, maxDifference } from "../model.ts";

let pipeline: SDXLControlNetPipeline;
beforeAll(async () => {
  pipeline = await SDXLControlNetPipeline.load(MODEL_DIR);
});
afterAll(() => pipeline?.release());

const plain = { prompt: "a red house on a blue background", image: boxOutline(64, 64), numInferenceSteps: 6, seed: 1 };
/** Calls that differ in all that a call may differ in, of one size. */
const ASKED: GenerateParams[] = [
  plain,
  { ...plain, seed: 2, scheduler: "euler_a", numInferenceSteps: 9, negativePrompt: "blue" },
  { ...plain, seed: 3, scheduler: "dpm++_2m", numInferenceSteps: 5, guidanceScale: 1 },
  { ...plain, seed: 4, scheduler: "lcm", numInferenceSteps: 4, numImagesPerPrompt: 2, guidanceScale: 9 },
  { ...plain, seed: 5, scheduler: "dpm++_2m_karras", controlGuidanceStart: 0.3, controlGuidanceEnd: 0.7 },
  { ...plain, seed: 6, prompt: "a green cat", controlnetConditioningScale: 1, guidanceScale: 0, numImagesPerPrompt: 3 },
  // Padded to the same size.
  { ...plain, seed: 7, image: boxOutline(60, 50), negativePrompt: "" },
];

const prepare = (params: GenerateParams): Promise<PictureCall> => pipeline.prepare(pipeline.check(params));
const drawAlone = async (params: GenerateParams): Promise<NDArray[]> => (await pipeline.generate(params)).images;

function expectSame(found: readonly NDArray[], alone: readonly NDArray[]): void {
  expect(found.map(({ shape }) => shape)).toEqual(alone.map(({ shape }) => shape));
  for (const [i, { data }] of found.entries())
    expect(maxDifference(data as Uint8Array, alone[i]!.data as Uint8Array)).toBeLessThanOrEqual(1);
}

describe("StepBatch", () => {
  it("draws each call's own pictures within 1/255, though one joins at each step and others leave", async () => {
    const alone = [];
    for (const params of ASKED) alone.push(await drawAlone(params));
    const waiting = [...ASKED];
    const calls: PictureCall[] = [];
    const most: number[] = [];
    while (waiting.length > 0 || calls.some(({ denoising }) => !denoising.done)) {
      const joining = waiting.shift();
      if (joining) calls.push(await prepare(joining));
      const taking = calls.filter(({ denoising }) => !denoising.done);
      most.push(taking.length);
      await pipeline.batch(taking).step();
    }
    expect(Math.max(...most)).toBeGreaterThan(3);
    for (const [i, call] of calls.entries()) expectSame((await pipeline.decode(call)).images, alone[i]!);
  });

  it("runs the graph once a step, on a row a picture and prompt", async () => {
    const calls = [await prepare(ASKED[0]!), await prepare(ASKED[2]!), await prepare(ASKED[3]!)];
    const batch = pipeline.batch(calls);
    const run = vi.spyOn(OnnxSession.prototype, "run");
    for (let step = 0; step < 4; step++) await batch.step();
    const shapes = run.mock.calls.map(([feeds]) => feeds.sample!.shape);
    const scales = Array.from(run.mock.calls[0]![0].conditioning_scale!.data as Float32Array);
    run.mockRestore();
    const { latentHeight, latentWidth } = calls[0]!.params;
    const rows = 2 + 1 + 4;
    expect(shapes).toEqual(Array(4).fill([rows, pipeline.config.latentChannels, latentHeight, latentWidth]));
    expect(scales).toEqual(Array(7).fill(0.5));
    expect(calls.map(({ denoising }) => denoising.step)).toEqual([4, 4, 4]);
  });

  it("goes on with the others' pictures when a call is left out of the next step", async () => {
    const [first, second] = [await prepare(ASKED[0]!), await prepare(ASKED[1]!)];
    const both = pipeline.batch([first, second]);
    await both.step();
    await both.step();
    const left = pipeline.batch([second]);
    while (!second.denoising.done) await left.step();
    expectSame((await pipeline.decode(second)).images, await drawAlone(ASKED[1]!));
  });

  it("moves no call when the run fails, so that each may be run again alone", async () => {
    const calls = [await prepare(ASKED[0]!), await prepare(ASKED[1]!)];
    const batch = pipeline.batch(calls);
    await batch.step();
    const run = vi.spyOn(OnnxSession.prototype, "run").mockRejectedValueOnce(new Error("out of memory"));
    await expect(batch.step()).rejects.toThrow("out of memory");
    run.mockRestore();
    for (const call of calls) {
      const alone = pipeline.batch([call]);
      while (!call.denoising.done) await alone.step();
    }
    expectSame((await pipeline.decode(calls[0]!)).images, await drawAlone(ASKED[0]!));
    expectSame((await pipeline.decode(calls[1]!)).images, await drawAlone(ASKED[1]!));
  });

  it("refuses calls of a graph that takes one timestep for all", async () => {
    const calls = [await prepare(plain), await prepare(plain)];
    const takesRows = vi.spyOn(NoiseGraph.prototype, "takesRows", "get").mockReturnValue(false);
    expect(() => pipeline.batch(calls)).toThrow(/one timestep for all rows/);
    expect(pipeline.batch(calls.slice(1)).calls).toHaveLength(1);
    takesRows.mockRestore();
  });

  it("refuses calls of different sizes", async () => {
    const calls = [await prepare(plain), await prepare({ ...plain, image: boxOutline(64, 96) })];
    expect(() => pipeline.batch(calls)).toThrow(/cannot be joined/);
  });
});
