import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OnnxSession } from "#gpu-worker/onnx/session.ts";
import { fillConditioning, toPixels } from "#gpu-worker/pipelines/image-processor.ts";
import { SDXLControlNetPipeline } from "#gpu-worker/pipelines/sdxl-controlnet-pipeline.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import calls from "../../golden/pipeline/calls.json" with { type: "json" };
import cases from "../../golden/pipeline/cases.json" with { type: "json" };
import condition from "../../golden/pipeline/condition.json" with { type: "json" };
import states from "../../golden/pipeline/states.json" with { type: "json" };
import { boxOutline, goldenFloats, goldenPicture, MODEL_DIR, maxDifference } from "../model.ts";

let pipeline: SDXLControlNetPipeline;
beforeAll(async () => {
  pipeline = await SDXLControlNetPipeline.load(MODEL_DIR);
});
afterAll(() => pipeline?.release());

const prompt = "a red house on a blue background";
const image = boxOutline(64, 64);
const quick = { prompt, image, numInferenceSteps: 3, seed: 1 };

describe("parity with diffusers 0.42.1 on the same weights", () => {
  it("text states within 1e-4", async () => {
    const expected = goldenFloats("states.f32");
    const embeds = await pipeline.encodePrompt(states.prompts);
    const hidden = embeds.hiddenStates.length;
    expect(maxDifference(embeds.hiddenStates, expected.subarray(0, hidden))).toBeLessThan(1e-4);
    expect(maxDifference(embeds.pooled, expected.subarray(hidden))).toBeLessThan(1e-4);
    expect(embeds.dropped).toEqual([0, 0, expect.any(Number)]);
    expect(embeds.dropped[2]).toBeGreaterThan(0);
  });

  it("conditioning of a picture within 1e-6", () => {
    const [height, width] = condition.shape as [number, number, number];
    const out = new Float32Array(condition.values.length);
    const data = Uint8Array.from(condition.pixels);
    fillConditioning({ data, height, width, channels: 3 }, height, width, out);
    expect(maxDifference(out, condition.values)).toBeLessThan(1e-6);
  });

  it.each(cases)("picture $folder, $width x $height, within 2/255: $prompt", async (one) => {
    const expected = await goldenPicture(`${one.folder}/expected.png`);
    const result = await pipeline.generate({
      prompt: one.prompt,
      negativePrompt: one.negative_prompt,
      image: await goldenPicture(`${one.folder}/edges.png`, true),
      numInferenceSteps: one.num_inference_steps,
      guidanceScale: one.guidance_scale,
      controlnetConditioningScale: one.controlnet_conditioning_scale,
      latents: goldenFloats(`${one.folder}/latents.f32`),
    });
    expect(result.images[0]!.shape).toEqual([one.height, one.width, 3]);
    expect(maxDifference(result.images[0]!.data as Uint8Array, expected.data)).toBeLessThanOrEqual(2);
  });
});

describe("parity with diffusers from the seed on, by what the api takes", () => {
  it.each(calls as readonly Call[])("$name, within 2/255", async (call) => {
    const { width, height } = call;
    const expected = await goldenPicture(`calls/${call.name}.png`);
    const karras = call.scheduler_options?.use_karras_sigmas;
    const { images, seed, warnings } = await pipeline.generate({
      prompt: call.prompt,
      negativePrompt: call.negative_prompt,
      image: boxOutline(height, width),
      scheduler: karras ? "dpm++_2m_karras" : call.scheduler,
      numInferenceSteps: call.num_inference_steps,
      guidanceScale: call.guidance_scale,
      controlnetConditioningScale: call.controlnet_conditioning_scale,
      controlGuidanceStart: call.control_guidance_start,
      controlGuidanceEnd: call.control_guidance_end,
      numImagesPerPrompt: call.num_images_per_prompt,
      seed: call.seed,
    });
    expect(images).toHaveLength(call.num_images_per_prompt ?? 1);
    const row = width * 3;
    const found = expected.data.map((_, at) => {
      const [y, x] = [Math.floor(at / (row * images.length)), at % (row * images.length)];
      return images[Math.floor(x / row)]!.data[y * row + (x % row)] as number;
    });
    expect(maxDifference(found, expected.data)).toBeLessThanOrEqual(2);
    expect(seed).toBe(call.seed);
    expect(warnings).toEqual(call.warnings);
  });
});

/** A row of calls.json. */
interface Call {
  name: string;
  prompt: string;
  negative_prompt?: string;
  height: number;
  width: number;
  scheduler?: string;
  scheduler_options?: { use_karras_sigmas?: boolean };
  num_inference_steps: number;
  guidance_scale: number;
  controlnet_conditioning_scale: number;
  control_guidance_start?: number;
  control_guidance_end?: number;
  num_images_per_prompt?: number;
  seed: number;
  warnings: string[];
}

describe("SDXLControlNetPipeline", () => {
  it("reads sizes and factors from the model folder", () => {
    expect(pipeline.config).toMatchObject({
      vaeScaleFactor: 4,
      sizeMultiple: 16,
      nativeSize: 128,
      crossAttentionDim: 192,
    });
  });

  it.each([
    [64, 96],
    [100, 72],
    [33, 17],
    [1, 1],
  ])("draws %s x %s, cropped from the padded size", async (height, width) => {
    const control = boxOutline(height, width);
    const result = await pipeline.generate({ ...quick, image: control });
    expect(result.images[0]!.shape).toEqual([height, width, 3]);
    const paddedSize = [Math.ceil(height / 16) * 16, Math.ceil(width / 16) * 16] as const;
    const data = new Uint8Array(paddedSize[0] * paddedSize[1]);
    for (let y = 0; y < height; y++) data.set(control.data.subarray(y * width, (y + 1) * width), y * paddedSize[1]);
    const whole = await pipeline.generate({ ...quick, image: new NDArray("uint8", paddedSize, data) });
    const cropped = Uint8Array.from(
      { length: height * width * 3 },
      (_, i) => whole.images[0]!.data[Math.floor(i / (width * 3)) * paddedSize[1] * 3 + (i % (width * 3))] as number,
    );
    expect(result.images[0]!.data).toEqual(cropped);
  });

  it("feeds the UNet in diffusers' order: height before width, negative before positive", async () => {
    const spy = vi.spyOn(OnnxSession.prototype, "run");
    await pipeline.generate({ ...quick, image: boxOutline(50, 90), negativePrompt: null });
    const feeds = Object.assign({}, ...spy.mock.calls.map(([given]) => given)) as Parameters<OnnxSession["run"]>[0];
    spy.mockRestore();
    expect(Array.from(feeds.time_ids!.data as Float32Array)).toEqual([64, 96, 0, 0, 64, 96, 64, 96, 0, 0, 64, 96]);
    expect(feeds.sample!.shape).toEqual([2, 4, 16, 24]);
    expect(feeds.controlnet_cond!.shape).toEqual([2, 3, 64, 96]);
    const pooled = feeds.text_embeds!.data as Float32Array;
    expect(pooled.subarray(0, pooled.length / 2).every((value) => value === 0)).toBe(true);
    expect(pooled.subarray(pooled.length / 2).some((value) => value !== 0)).toBe(true);
  });

  it("takes one, three and strided channels for the same picture", async () => {
    const plain = await pipeline.generate(quick);
    const column = image.reshape([64, 64, 1]);
    expect((await pipeline.generate({ ...quick, image: column })).images[0]!.data).toEqual(plain.images[0]!.data);
    const repeated = column.broadcastTo([64, 64, 3]);
    expect((await pipeline.generate({ ...quick, image: repeated })).images[0]!.data).toEqual(plain.images[0]!.data);
  });

  it("draws the same picture for a seed and another for another", async () => {
    const first = await pipeline.generate(quick);
    expect((await pipeline.generate({ ...quick, seed: first.seed })).images[0]!.data).toEqual(first.images[0]!.data);
    expect((await pipeline.generate({ ...quick, seed: 2 })).images[0]!.data).not.toEqual(first.images[0]!.data);
    const [one, two] = [
      await pipeline.generate({ ...quick, seed: undefined }),
      await pipeline.generate({ ...quick, seed: null }),
    ];
    expect(one.seed).not.toBe(two.seed);
    expect((await pipeline.generate({ ...quick, seed: one.seed })).images[0]!.data).toEqual(one.images[0]!.data);
  });

  it("makes each parameter count", async () => {
    const [plain] = (await pipeline.generate(quick)).images;
    for (const change of [
      { negativePrompt: "" },
      { negativePrompt: "blue" },
      { prompt: "a green house on a yellow background" },
      { controlnetConditioningScale: 0 },
      { guidanceScale: 1 },
      { guidanceScale: 0 },
      { guidanceScale: 9 },
      { numInferenceSteps: 4 },
      { image: boxOutline(64, 64).broadcastTo([64, 64]), controlnetConditioningScale: 1 },
    ])
      expect((await pipeline.generate({ ...quick, ...change })).images[0]!.data, JSON.stringify(change)).not.toEqual(
        plain!.data,
      );
    const without = await pipeline.generate({ ...quick, negativePrompt: null });
    expect(without.images[0]!.data).toEqual(plain!.data);
  });

  it("runs without guidance at a scale of 1 and less, whatever the negative prompt", async () => {
    const plain = await pipeline.generate({ ...quick, guidanceScale: 1 });
    const other = await pipeline.generate({ ...quick, guidanceScale: 0.3, negativePrompt: "red" });
    expect(other.images[0]!.data).toEqual(plain.images[0]!.data);
  });

  it("tells each step and stops between two when asked", async () => {
    const steps: number[] = [];
    const timings: number[] = [];
    const run = pipeline.generate(
      { ...quick, numInferenceSteps: 10 },
      {
        onStep: (step, total, { stepMs, runMs }) => {
          steps.push(step);
          timings.push(stepMs - runMs);
          expect(total).toBe(10);
        },
        shouldAbort: () => steps.length === 4,
      },
    );
    await expect(run).rejects.toMatchObject({ code: "CANCELED" });
    expect(steps).toEqual([1, 2, 3, 4]);
    expect(Math.min(...timings)).toBeGreaterThanOrEqual(0);
  });

  it("keeps calls apart whose steps take turns", async () => {
    const asked = [
      { ...quick, scheduler: "euler_a" },
      { ...quick, seed: 2, scheduler: "dpm++_2m", numInferenceSteps: 5, guidanceScale: 1 },
      { ...quick, seed: 3, scheduler: "lcm", numImagesPerPrompt: 2 },
    ];
    const alone = [];
    for (const params of asked) alone.push((await pipeline.generate(params)).images);
    const calls = [];
    for (const params of asked) calls.push(await pipeline.prepare(pipeline.check(params)));
    while (calls.some(({ denoising }) => !denoising.done))
      for (const call of calls) if (!call.denoising.done) await pipeline.batch([call]).step();
    const together = [];
    for (const call of calls) together.push((await pipeline.decode(call)).images);
    expect(together).toEqual(alone);
  });

  it("tells what of either prompt was left out, in diffusers' words", async () => {
    const long = `${"cat ".repeat(75)}"don't" (dog:1.5)`;
    const { warnings } = await pipeline.generate({ ...quick, prompt: long, negativePrompt: `${"a ".repeat(75)}dog` });
    expect(warnings).toEqual([
      `The following part of your input was truncated because CLIP can only handle sequences up to 77 tokens: ['" don \\'t " ( dog : 1 . 5 )']`,
      "The following part of your negative_prompt was truncated because CLIP can only handle sequences up to 77 tokens: ['dog']",
    ]);
  });

  it("does not decode when aborted after the last step", async () => {
    let steps = 0;
    const hooks = { onStep: () => void steps++, shouldAbort: () => steps === 3 };
    await expect(pipeline.generate(quick, hooks)).rejects.toMatchObject({ code: "CANCELED" });
  });

  it("tells how many tokens had no effect", async () => {
    const long = "a red house on a blue background, ".repeat(20);
    const { droppedTokens } = await pipeline.generate({ ...quick, prompt: long, negativePrompt: "blue" });
    expect(droppedTokens.prompt).toBeGreaterThan(50);
    expect(droppedTokens.negativePrompt).toBe(0);
  });

  it.each([
    ["prompt", { prompt: 7 }],
    ["prompt", { prompt: "a".repeat(4001) }],
    ["negative_prompt", { negativePrompt: {} }],
    ["image", { image: "png" }],
    ["image", { image: new NDArray("float32", [8, 8], new Float32Array(64)) }],
    ["image", { image: new NDArray("uint8", [8, 8, 4], new Uint8Array(256)) }],
    ["image", { image: new NDArray("uint8", [0, 8], new Uint8Array(0)) }],
    ["width", { width: 128 }],
    ["height", { height: 32 }],
    ["guidance_scale", { guidanceScale: Number.NaN }],
    ["guidance_scale", { guidanceScale: -1 }],
    ["controlnet_conditioning_scale", { controlnetConditioningScale: Number.POSITIVE_INFINITY }],
    ["num_inference_steps", { numInferenceSteps: 0 }],
    ["num_inference_steps", { numInferenceSteps: 2.5 }],
    ["seed", { seed: -1 }],
    ["scheduler", { scheduler: "ddim" }],
    ["control_guidance_start", { controlGuidanceStart: -0.1 }],
    ["control_guidance_start", { controlGuidanceStart: Number.NaN }],
    ["control_guidance_end", { controlGuidanceEnd: 1.1 }],
    ["control_guidance_end", { controlGuidanceStart: 0.5, controlGuidanceEnd: 0.5 }],
    ["num_images_per_prompt", { numImagesPerPrompt: 0 }],
    ["num_images_per_prompt", { numImagesPerPrompt: 1.5 }],
    ["num_images_per_prompt", { numImagesPerPrompt: 65 }],
    ["num_inference_steps", { scheduler: "lcm", numInferenceSteps: 51 }],
    ["seed", { seed: 2 ** 53 }],
    ["latents", { latents: new Float32Array(7) }],
  ])("refuses a wrong %s by name", async (field, change) => {
    await expect(pipeline.generate({ ...quick, ...(change as object) })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(field),
      detail: [{ path: [field] }],
    });
  });

  it("names both sizes when width or height differ from the control picture's", async () => {
    await expect(pipeline.generate({ ...quick, width: 128, height: 64 })).rejects.toThrow(/128x64.*64x64/);
  });

  it("refuses a picture over the limit before it allocates", async () => {
    const tall = new NDArray("uint8", [100_000, 100], new Uint8Array(1), [0, 0]);
    await expect(pipeline.generate({ ...quick, image: tall })).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  it("says so when the decoder overflowed instead of drawing black", () => {
    const decoded = new Float32Array(12).fill(Number.NaN);
    expect(() => toPixels(decoded, [2, 2], [2, 2])).toThrow(/overflowed/);
  });
});

describe("loading a model folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tandem-model-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function modelWith(file: string, change: (config: Record<string, unknown>) => void): Promise<string> {
    await cp(MODEL_DIR, folder, { recursive: true });
    const config = JSON.parse(await readFile(join(folder, file), "utf8"));
    change(config);
    await writeFile(join(folder, file), JSON.stringify(config));
    return folder;
  }

  it("refuses another pipeline, a missing field and a scheduler that it hasn't, by file and field", async () => {
    const kind = await modelWith("model_index.json", (config) => (config._class_name = "FluxPipeline"));
    await expect(SDXLControlNetPipeline.load(kind)).rejects.toThrow(/model_index.json.*_class_name/);
    const vae = await modelWith("vae/config.json", (config) => delete config.scaling_factor);
    await expect(SDXLControlNetPipeline.load(vae)).rejects.toThrow(/vae\/config.json.*scaling_factor/);
    const other = await modelWith("scheduler/scheduler_config.json", (config) => (config.timestep_spacing = "odd"));
    await expect(SDXLControlNetPipeline.load(other)).rejects.toThrow(/scheduler_config.json.*timestep_spacing/);
  });

  it("runs a model whose own scheduler is another one, as diffusers saves it", async () => {
    const model = await modelWith("scheduler/scheduler_config.json", (config) =>
      Object.assign(config, { _class_name: "DPMSolverMultistepScheduler", lambda_min_clipped: "LOWEST" }),
    );
    const file = join(model, "scheduler/scheduler_config.json");
    await writeFile(file, (await readFile(file, "utf8")).replace('"LOWEST"', "-Infinity"));
    const other = await SDXLControlNetPipeline.load(model);
    const [own] = (await other.generate(quick)).images;
    const [named] = (await pipeline.generate({ ...quick, scheduler: "dpm++_2m" })).images;
    expect(own!.data).toEqual(named!.data);
    expect((await other.generate({ ...quick, scheduler: "euler" })).images).toEqual(
      (await pipeline.generate(quick)).images,
    );
    await other.release();
  });

  it("refuses a graph whose inputs are others", async () => {
    const model = await modelWith("vae/config.json", () => {});
    await cp(join(MODEL_DIR, "vae_decoder"), join(model, "text_encoder"), { recursive: true });
    await expect(SDXLControlNetPipeline.load(model)).rejects.toThrow(/text_encoder\/model.onnx has no input input_ids/);
  });

  it("refuses text encoders whose width isn't the UNet's", async () => {
    const model = await modelWith("unet/config.json", (config) => (config.cross_attention_dim = 2048));
    const wrong = await SDXLControlNetPipeline.load(model);
    await expect(wrong.generate(quick)).rejects.toThrow(/2048/);
    await wrong.release();
  });

  it("encodes the empty negative prompt when the model wants no zeros", async () => {
    const model = await modelWith("model_index.json", (config) => (config.force_zeros_for_empty_prompt = false));
    const other = await SDXLControlNetPipeline.load(model);
    const [none, empty] = [await other.generate(quick), await pipeline.generate({ ...quick, negativePrompt: "" })];
    expect(none.images[0]!.data).toEqual(empty.images[0]!.data);
    await other.release();
  });

  it.each([
    ["cuda", "cpu"],
    ["tensorrt", "cuda"],
  ] as const)("refuses %s where its libraries are missing, with what to do", async (executionProvider, other) => {
    await expect(SDXLControlNetPipeline.load(MODEL_DIR, { executionProvider })).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(
        new RegExp(`${executionProvider} can't start.*Install.*executionProvider to ${other}$`),
      ),
    });
  });
});
