import { appendFile, copyFile, cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { OnnxSession } from "#gpu-worker/onnx/session.ts";
import { type NoiseConditions, NoiseGraph, type NoiseInputs } from "#gpu-worker/pipelines/noise-graph.ts";
import { gaussianNoise } from "#gpu-worker/pipelines/random.ts";
import { boxOutline, MODEL_DIR, maxDifference } from "../model.ts";

const HALF = fileURLToPath(new URL("../../golden/pipeline/half.onnx", import.meta.url));

const conditions = (rows: number): NoiseConditions => ({
  rows,
  hiddenStates: gaussianNoise(1, rows * 77 * 192),
  tokens: 77,
  pooled: gaussianNoise(2, rows * 128),
  control: { data: boxOutline(64, 96).data as Uint8Array, height: 64, width: 96, channels: 1 },
  height: 64,
  width: 96,
  latents: [4, 16, 24],
});
const latents = gaussianNoise(3, 4 * 16 * 24);

/** The noise of `latents` in every row. */
async function predict(graph: NoiseGraph, inputs: NoiseInputs, timestep: number, scale = 0.7): Promise<Float32Array> {
  for (let row = 0; row < inputs.rows; row++) inputs.sample.set(latents, row * latents.length);
  inputs.timestep.fill(timestep);
  inputs.conditioningScale.fill(scale);
  return Float32Array.from(await graph.predict(inputs));
}

let folder: string;
const inFolder = (file: string): string => join(folder, "unet_controlnet", file);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-noise-"));
});
beforeEach(() => cp(join(MODEL_DIR, "unet_controlnet"), join(folder, "unet_controlnet"), { recursive: true }));
afterAll(() => rm(folder, { recursive: true }));

describe("NoiseGraph", () => {
  it.each([1, 2])("tells the same noise in two parts as in one graph, for %s rows", async (rows) => {
    const split = await NoiseGraph.load(folder);
    await rm(inFolder("step.onnx"));
    const whole = await NoiseGraph.load(folder);
    const run = vi.spyOn(OnnxSession.prototype, "run");
    const inputs = [await split.begin(conditions(rows)), await whole.begin(conditions(rows))] as const;
    const [begun] = [run.mock.contexts.length];
    for (const timestep of [961, 501, 1]) {
      const expected = await predict(whole, inputs[1], timestep);
      expect(expected).toHaveLength(rows * latents.length);
      expect(maxDifference(await predict(split, inputs[0], timestep), expected)).toBeLessThan(1e-4);
    }
    // The conditions once, by the one that has them apart; then one graph a step each.
    expect([begun, run.mock.contexts.length]).toEqual([1, 1 + 2 * 3]);
    run.mockRestore();
    await split.release();
    await whole.release();
  });

  it("makes every condition count, from one run to the next", async () => {
    const graph = await NoiseGraph.load(folder);
    const noise = async ({ scale, ...change }: Partial<NoiseConditions> & { scale?: number }) =>
      predict(graph, await graph.begin({ ...conditions(1), ...change }), 501, scale);
    const plain = await noise({});
    const empty = { ...conditions(1).control, data: new Uint8Array(64 * 96) };
    for (const change of [
      { hiddenStates: gaussianNoise(4, 77 * 192) },
      { pooled: gaussianNoise(5, 128) },
      { control: empty },
      { scale: 0 },
    ])
      expect(maxDifference(await noise(change), plain), Object.keys(change)[0]).toBeGreaterThan(1e-3);
    expect(await noise({})).toEqual(plain);
    await graph.release();
  });

  it("refuses parts that were made of another graph", async () => {
    await appendFile(inFolder("model.onnx"), "\n");
    await expect(NoiseGraph.load(folder)).rejects.toThrow(/made of another model.onnx; run .*split_steps.py/);
    await rm(inFolder("model.onnx.sha256"));
    await expect(NoiseGraph.load(folder)).rejects.toMatchObject({ code: "INTERNAL" });
  });

  it("refuses parts that don't fit together, by what is missing", async () => {
    await copyFile(HALF, inFolder("conditions.onnx"));
    await expect(NoiseGraph.load(folder)).rejects.toThrow(
      /conditions.onnx and .*step.onnx want x, which nothing gives/,
    );
    await copyFile(inFolder("model.onnx"), inFolder("conditions.onnx"));
    await expect(NoiseGraph.load(folder)).rejects.toThrow(/want \/.*, which nothing gives/);
    await copyFile(HALF, inFolder("step.onnx"));
    await expect(NoiseGraph.load(folder)).rejects.toThrow(/step.onnx has no output noise_pred/);
  });

  it("takes a GPU's graph whole", async () => {
    const load = vi.spyOn(OnnxSession, "load").mockRejectedValue(new Error("not here"));
    await expect(NoiseGraph.load(folder, { executionProvider: "cuda" })).rejects.toThrow("not here");
    expect(load.mock.calls.map(([path]) => path)).toEqual([inFolder("model.onnx")]);
    load.mockRestore();
  });

  it("points at weights rather than holding them", async () => {
    const [step, model] = await Promise.all(["step.onnx", "model.onnx"].map((file) => readFile(inFolder(file))));
    expect(step!.length).toBeLessThan(model!.length / 10);
  });
});
