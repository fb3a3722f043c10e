import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import { verifyModel } from "#shared/model/verify-model.ts";
import { boxOutline, MODEL_DIR, maxDifference } from "../../gpu-worker/model.ts";
import { modelsPython } from "../python.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const WORK = `${ROOT}.venv/training-test`;
const TRAIN = `${ROOT}gpu-worker/training/train.py`;
/** Toy lengths: what is tried is that everything works together, not that it learns. */
const SHORT = ["--steps", "8", "--save-every", "4", "--data", "0.005", "--processes", "2"];
const env = { ...process.env, HF_HUB_OFFLINE: "1", OMP_WAIT_POLICY: "PASSIVE" };

vi.setConfig({ testTimeout: 1_200_000, hookTimeout: 1_200_000 });
let python: string;
beforeAll(async () => {
  python = await modelsPython();
  await rm(WORK, { recursive: true, force: true });
});

describe("train.py", () => {
  it("from scratch: makes tokenizers, VAE and denoiser that export.py takes and gpu-worker draws with", async () => {
    const told = await train("scratch", "--seed", "1", ...SHORT);
    expect(told).toMatch(/stage tokenizers .* tokens 2048/);
    expect(told).toMatch(/stage vae .* psnr_64 2\d\./);
    expect(told).toMatch(/stage done .* step 8/);
    expect(told).toMatch(/stage decoder .* psnr_128 \d/);
    const out = `${WORK}/scratch/exported`;
    await run(`${ROOT}gpu-worker/export/export.py`, out, "--model", `${WORK}/scratch/model`, "--target", "cpu");
    expect((await verifyModel(out)).faults).toEqual([]);
    expect(await readFile(`${out}/licenses/text_encoder/NOTICE.md`, "utf8")).toContain("Microsoft");
    const pipeline = await SDXLControlNetPipeline.load(out);
    try {
      const call = { prompt: "a red house", image: boxOutline(64, 64), numInferenceSteps: 2, seed: 1 };
      const { images } = await pipeline.generate(call);
      expect(images[0]!.shape).toEqual([64, 64, 3]);
    } finally {
      await pipeline.release();
    }
  });

  it("goes on from the bundled model; the same seed gives the same weights, killed and started again or not", async () => {
    const options = ["--from", MODEL_DIR, "--seed", "2", ...SHORT];
    await train("whole", ...options);
    await killAtStep5("broken", ...options);
    expect(await train("broken", ...options)).toMatch(/stage resumed .* step 4/);
    await train("other", ...options, "--seed", "3");
    const [whole, broken, other, bundled] = await Promise.all(
      ["whole", "broken", "other"].map((name) => weights(`${WORK}/${name}/model`)).concat(unpacked()),
    );
    expect(broken!.equals(whole!)).toBe(true);
    expect(other!.equals(whole!)).toBe(false);
    expect(maxDifference(floats(whole!), floats(bundled!))).toBeGreaterThan(1e-4);
  });

  it("blend.py mixes parts of two models, each in its own share", async () => {
    const [before, after, out] = [MODEL_DIR, `${WORK}/whole/model`, `${WORK}/blended`];
    await run(`${ROOT}gpu-worker/training/blend.py`, before, after, out, "--unet", "0.25", "--text", "0");
    const [old, trained, blended] = (await Promise.all([unpacked(), weights(after), weights(out)])).map(floats);
    const expected = old!.map((value, at) => value + 0.25 * (trained![at]! - value));
    expect(maxDifference(blended!, expected)).toBeLessThan(1e-6);
    expect(await weights(out, "controlnet")).toEqual(await weights(after, "controlnet"));
  });

  it("ends with the decoder: its encoder, and with it what latents mean, is the one it began with", async () => {
    const [began, ended] = await Promise.all(
      ["denoiser", "model"].map(async (folder) => vaeOf(`${WORK}/whole/${folder}`)),
    );
    expect(ended!.encoder).toEqual(began!.encoder);
    expect(ended!.decoder).not.toEqual(began!.decoder);
  });

  it.each([
    [["--from", "/nowhere", "--steps", "1"], /\/nowhere/],
    [["--seed", "1"], /name --minutes or --steps/],
    [["--steps", "1", "--processes", "5"], /name 1 to 4/],
  ])("refuses %j, with a message and an exit code", async (options, message) => {
    const failed = await train("refused", ...options).catch((error: unknown) => error as { stderr: string });
    expect(failed).toMatchObject({ stderr: expect.stringMatching(message) });
    expect((failed as { stderr: string }).stderr).not.toContain("Traceback");
  });
});

describe("muon.py", () => {
  it.each([
    [12, 40],
    [40, 12],
  ])("makes of a %i x %i matrix one whose singular values are all near 1", async (rows, columns) => {
    const code = [
      "import sys, torch",
      `sys.path.insert(0, ${JSON.stringify(`${ROOT}gpu-worker/training`)})`,
      "from muon import orthogonal",
      `matrix = torch.randn(${rows}, ${columns}, generator=torch.Generator().manual_seed(1))`,
      "values = torch.linalg.svdvals(orthogonal(matrix))",
      "print(values.min().item(), values.max().item())",
    ].join("\n");
    const [low, high] = (await run("-c", code)).trim().split(" ").map(Number);
    expect(low).toBeGreaterThan(0.6);
    expect(high).toBeLessThan(1.3);
  });
});

async function run(...args: string[]): Promise<string> {
  return (await promisify(execFile)(python, args, { env, maxBuffer: 2 ** 26 })).stdout;
}

const train = (name: string, ...options: string[]): Promise<string> =>
  run(TRAIN, "--out", `${WORK}/${name}`, ...options);

/** Starts a run and kills it, as a power cut would, when it has told of step 5; it saved at step 4. */
async function killAtStep5(name: string, ...options: string[]): Promise<void> {
  const child = spawn(python, [TRAIN, "--out", `${WORK}/${name}`, ...options], {
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout }))
    if (line.includes("stage denoiser") && line.includes("step 5")) child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
}

const weights = (model: string, part = "unet"): Promise<Buffer> =>
  readFile(`${model}/${part}/diffusion_pytorch_model.safetensors`);

/** The numbers of a safetensors file: after the length of its header, and that. */
function floats(file: Buffer): Float32Array {
  return new Float32Array(Uint8Array.from(file.subarray(8 + Number(file.readBigUInt64LE()))).buffer);
}

/** Digests of the VAE's weights, by part. */
async function vaeOf(model: string): Promise<Record<"encoder" | "decoder", string>> {
  const code = [
    "import hashlib, json, sys",
    "from safetensors.numpy import load_file",
    "weights = load_file(sys.argv[1])",
    "of = lambda part: hashlib.sha256(b''.join(weights[k].tobytes() for k in sorted(weights) if k.startswith(part))).hexdigest()",
    "print(json.dumps({part: of(part) for part in ('encoder', 'decoder')}))",
  ].join("\n");
  return JSON.parse(await run("-c", code, `${model}/vae/diffusion_pytorch_model.safetensors`));
}

async function unpacked(): Promise<Buffer> {
  await run(`${ROOT}gpu-worker/export/unpack.py`, MODEL_DIR, `${WORK}/bundled`);
  return weights(`${WORK}/bundled`);
}
