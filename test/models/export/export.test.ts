import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { verifyModel } from "#shared/model/verify-model.ts";
import { MODEL_DIR, maxDifference } from "../../gpu-worker/model.ts";
import { modelsPython } from "../python.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const WORK = `${ROOT}.venv/export-test`;
const EXPORT = `${ROOT}gpu-worker/export/export.py`;
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

interface Manifest {
  files: { path: string; sha256: string }[];
}

/** Non-square, so that height and width can't be taken for each other. */
const CASE = {
  prompt: "a red house on a blue background",
  negative_prompt: "blurry",
  height: 96,
  width: 64,
  num_inference_steps: 6,
  guidance_scale: 5,
  controlnet_conditioning_scale: 0.8,
  seed: 1,
};
const RANDOM = { model: `${WORK}/random/model`, controlnet: `${WORK}/random/controlnet`, vae: `${WORK}/random/vae` };

// SDXL's own graphs are traced, and 2 GB of weights written: minutes on two cores, and more beside neighbours.
vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 1_800_000 });
let python: string;
beforeAll(async () => {
  python = await modelsPython();
  await rm(WORK, { recursive: true, force: true });
  await runPython(here("models.py"), "random", MODEL_DIR, `${WORK}/random`);
  await runPython(here("models.py"), "draw", `${WORK}/random/picture`, ...Object.values(RANDOM), JSON.stringify(CASE));
});

describe("export.py", () => {
  // What torch draws in float32 with the same float16 weights. Without the ControlNet it is another picture, by 43/255.
  it.each([
    ["cpu", 1],
    ["gpu", 2],
  ])("for a %s: gpu-worker draws diffusers' picture within %i/255", async (target, most) => {
    const { model, controlnet, vae } = RANDOM;
    const out = `${WORK}/random/${target}`;
    const told = await runPython(
      EXPORT,
      out,
      "--model",
      model,
      "--controlnet",
      controlnet,
      "--vae",
      vae,
      "--target",
      target,
    );
    expect(told.match(/largest difference [\d.e-]+, RMS/g)).toHaveLength(12);
    expect(await differenceOf(out, `${WORK}/random/picture`)).toBeLessThanOrEqual(most);
  });

  it("lists every file, each source's weights, revision and licence; `tandem model verify` agrees", async () => {
    const { faults, files } = await verifyModel(`${WORK}/random/cpu`);
    expect(faults).toEqual([]);
    expect(files).toBeGreaterThan(20);
    const manifest = JSON.parse(await readFile(`${WORK}/random/cpu/manifest.json`, "utf8"));
    const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(manifest.sources.map(({ parts }: { parts: string }) => parts)).toEqual([
      "text_encoder, text_encoder_2, unet",
      "controlnet",
      "vae",
    ]);
    expect(manifest.sources[2]).toMatchObject({ license: "mit", revision: null, weights: [{ sha256 }] });
    expect(manifest.files.map(({ path }: { path: string }) => path)).toContain("licenses/text_encoder/LICENSE.md");
  });

  it("of the bundled model, unpacked by unpack.py: the same graphs, and diffusers' picture within 2/255", async () => {
    const model = `${WORK}/trained/model`;
    await runPython(`${ROOT}gpu-worker/export/unpack.py`, MODEL_DIR, model);
    // A folder that has all parts: no other source is asked.
    await runPython(EXPORT, `${WORK}/trained/cpu`, "--model", model, "--target", "cpu");
    const graphs = async (folder: string) => {
      const { files } = JSON.parse(await readFile(`${folder}/manifest.json`, "utf8")) as Manifest;
      return files.filter(({ path }) => path.endsWith(".onnx")).map(({ path, sha256 }) => `${path} ${sha256}`);
    };
    expect(await graphs(`${WORK}/trained/cpu`)).toEqual(await graphs(MODEL_DIR));
    const picture = `${WORK}/trained/picture`;
    const folders = [model, `${model}/controlnet`, `${model}/vae`];
    await runPython(
      here("models.py"),
      "draw",
      picture,
      ...folders,
      JSON.stringify({ ...CASE, num_inference_steps: 12 }),
    );
    expect(await differenceOf(MODEL_DIR, picture, 12)).toBeLessThanOrEqual(2);
  });

  it.each([
    ["a folder that is there", [`${WORK}/random/model`], /is there already/],
    ["a model that is nowhere", [`${WORK}/x`, "--model", "./nowhere", "--controlnet", "./nowhere"], /nowhere/],
    [
      "a ControlNet of another model",
      [`${WORK}/x`, "--model", RANDOM.model, "--controlnet", `${MODEL_DIR}/controlnet`],
      /block_out_channels is \[32, 64, 128\]/,
    ],
  ])("refuses %s, with exit code 1", async (_, args, message) => {
    const failed = await runPython(EXPORT, ...args).catch(
      (error: unknown) => error as { code: number; stderr: string },
    );
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
  });
});

it("its parts hold what they promise", async () => {
  const lines = (await runPython(here("checks.py"), WORK)).trim().split("\n");
  const checks = lines.map((line) => JSON.parse(line) as { check: string; ok: boolean });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(checks).toHaveLength(9);
});

async function runPython(...args: string[]): Promise<string> {
  const env = { ...process.env, HF_HUB_OFFLINE: "1", OMP_WAIT_POLICY: "PASSIVE" };
  return (await promisify(execFile)(python, args, { env, maxBuffer: 2 ** 26 })).stdout;
}

/** Largest difference of what gpu-worker draws with `model` and what diffusers drew into `folder`. */
async function differenceOf(
  model: string,
  folder: string,
  numInferenceSteps = CASE.num_inference_steps,
): Promise<number> {
  const pixels = async (file: string, colours: "b-w" | "srgb"): Promise<Uint8Array<ArrayBuffer>> =>
    Uint8Array.from(await sharp(`${folder}/${file}`).toColourspace(colours).raw().toBuffer());
  const pipeline = await SDXLControlNetPipeline.load(model);
  try {
    const { images } = await pipeline.generate({
      prompt: CASE.prompt,
      negativePrompt: CASE.negative_prompt,
      image: new NDArray("uint8", [CASE.height, CASE.width], await pixels("edges.png", "b-w")),
      numInferenceSteps,
      guidanceScale: CASE.guidance_scale,
      controlnetConditioningScale: CASE.controlnet_conditioning_scale,
      latents: new Float32Array(Uint8Array.from(await readFile(`${folder}/latents.f32`)).buffer),
    });
    return maxDifference(images[0]!.data as Uint8Array, await pixels("expected.png", "srgb"));
  } finally {
    await pipeline.release();
  }
}
