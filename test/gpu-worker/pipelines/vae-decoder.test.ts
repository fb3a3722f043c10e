import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { OnnxSession } from "#gpu-worker/onnx/session.ts";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import { VaeDecoder, type VaeTiling, vaeTilingFromEnvironment } from "#gpu-worker/pipelines/vae-decoder.ts";
import golden from "../../golden/vae/case.json" with { type: "json" };
import { boxOutline, MODEL_DIR, maxDifference } from "../model.ts";

const FOLDER = fileURLToPath(new URL("../../golden/vae", import.meta.url));
const floats = (name: string): Float32Array =>
  new Float32Array(Uint8Array.from(readFileSync(`${FOLDER}/${name}.f32`)).buffer);
const { channels, height, width, factor } = golden;
const config = {
  latentChannels: channels,
  vaeScaleFactor: factor,
  vaeTileSize: golden.sample_size / factor,
  decodeScale: Array(channels).fill(1),
  decodeShift: Array(channels).fill(0),
};

async function decode(
  vaeTiling: VaeTiling | undefined,
  size: readonly [number, number],
  latents: Float32Array,
  vaeTileSize = config.vaeTileSize,
) {
  const decoder = await VaeDecoder.load(FOLDER, { ...config, vaeTileSize }, vaeTiling && { vaeTiling });
  try {
    return await decoder.decode(latents, ...size);
  } finally {
    await decoder.release();
  }
}

/** Latents that the decoder saw at once, [height, width] each. */
async function seen(vaeTiling: VaeTiling | undefined, size: readonly [number, number], tileSize?: number) {
  const run = vi.spyOn(OnnxSession.prototype, "run");
  await decode(vaeTiling, size, new Float32Array(channels * size[0] * size[1]), tileSize);
  const shapes = run.mock.calls.map(([feeds]) => feeds.latent_sample!.shape.slice(2));
  run.mockRestore();
  return shapes;
}

describe("parity with diffusers 0.42.1's AutoencoderKL on the same weights", () => {
  it.each(["whole", "tiled"])("%s, within 1e-5", async (how) => {
    const decoded = await decode(how === "tiled" ? "on" : "off", [height, width], floats("latents"));
    expect(maxDifference(decoded, floats(how))).toBeLessThan(1e-5);
    const other = how === "tiled" ? "whole" : "tiled";
    expect(maxDifference(decoded, floats(other))).toBeGreaterThan(0.1);
  });
});

describe("VaeDecoder", () => {
  it("cuts tiles that have a quarter in common; what fits in one is not cut", async () => {
    expect(await seen("on", [8, 9])).toEqual([
      [8, 8],
      [8, 3],
      [2, 8],
      [2, 3],
    ]);
    expect(await seen("on", [8, 8])).toEqual([[8, 8]]);
  });

  it("cuts by itself what has more than one and a half times SDXL's pixels, and nothing where that is off", async () => {
    expect(await seen(undefined, [256, 384], 128)).toHaveLength(1);
    expect(await seen("auto", [256, 385], 128)).toHaveLength(15);
    expect(await seen("off", [256, 385])).toHaveLength(1);
  });

  it("tells how many pixels it decodes at once: all, or a tile's", async () => {
    for (const [tiling, pixels] of [
      ["off", 8 * 9],
      ["on", 8 * 8],
    ] as const) {
      const decoder = await VaeDecoder.load(FOLDER, config, { vaeTiling: tiling });
      expect(decoder.pixelsAtOnce(8, 9)).toBe(pixels * factor ** 2);
      expect(decoder.floatBytes).toBe(4);
      await decoder.release();
    }
  });

  it("scales and shifts latents as the model says, in tiles too", async () => {
    const decoder = await VaeDecoder.load(
      FOLDER,
      { ...config, decodeScale: [2, 2, 2, 2], decodeShift: [1, 1, 1, 1] },
      { vaeTiling: "on" },
    );
    const decoded = await decoder.decode(
      floats("latents").map((value) => (value - 1) / 2),
      height,
      width,
    );
    expect(maxDifference(decoded, floats("tiled"))).toBeLessThan(1e-4);
    await decoder.release();
  });

  it("reads its tiling from TANDEM_VAE_TILING", () => {
    expect(vaeTilingFromEnvironment("off")).toBe("off");
    expect(() => vaeTilingFromEnvironment("yes")).toThrow(/TANDEM_VAE_TILING must be one of auto, on, off, not yes/);
  });

  it("takes less memory for tiles than for the whole", () => {
    const script = fileURLToPath(new URL("./vae-memory.ts", import.meta.url));
    const peak = (tiling: VaeTiling): number => {
      const { stdout, stderr } = spawnSync(process.execPath, [script, FOLDER, tiling], { encoding: "utf8" });
      expect(stderr).toBe("");
      return Number(stdout);
    };
    expect(peak("on")).toBeLessThan(0.5 * peak("off"));
  });

  it("draws about the same picture in tiles as whole", async () => {
    const draw = async (vaeTiling: VaeTiling) => {
      const pipeline = await SDXLControlNetPipeline.load(MODEL_DIR, { vaeTiling });
      const side = Math.ceil((pipeline.config.vaeTileSize * pipeline.config.vaeScaleFactor * 1.25) / 16) * 16;
      const params = { prompt: "a red house on a blue background", scheduler: "lcm", numInferenceSteps: 4, seed: 1 };
      const { images } = await pipeline.generate({ ...params, image: boxOutline(side, side) });
      await pipeline.release();
      return images[0]!.data as Uint8Array;
    };
    const [tiled, whole] = [await draw("on"), await draw("off")];
    const mean = tiled.reduce((sum, value, i) => sum + Math.abs(value - whole[i]!), 0) / tiled.length;
    expect(mean).toBeGreaterThan(0);
    expect(mean).toBeLessThan(4);
  });
});
