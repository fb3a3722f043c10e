import { join } from "node:path";
import type { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { type GraphFloats, OnnxSession, type SessionOptions } from "../onnx/session.ts";
import { type EulerDiscreteSchedule, EulerDiscreteScheduler } from "../schedulers/euler-discrete.ts";
import { ClipTokenizer } from "../tokenizers/clip-tokenizer.ts";
import {
  type CheckedParams,
  checkParams,
  type GeneratedImage,
  type GenerateParams,
  type RunHooks,
} from "./generate-params.ts";
import { GRAPHS } from "./graphs.ts";
import { toPixels } from "./image-processor.ts";
import { type ModelConfig, readModelConfig } from "./model-config.ts";
import { NoiseGraph } from "./noise-graph.ts";
import { gaussianNoise } from "./random.ts";

export interface PipelineOptions extends SessionOptions {
  /** Most pixels of a picture, padding included; default 16 times the native picture's. */
  maxPixels?: number;
}

/** Text states of a batch, one row a prompt. */
export interface PromptEmbeds {
  /** [batch, tokens, crossAttentionDim] */
  hiddenStates: Float32Array;
  /** [batch, pooledDim] */
  pooled: Float32Array;
  tokens: number;
  /** Tokens that did not fit, a prompt. */
  dropped: number[];
}

/**
 * Stable Diffusion XL with a ControlNet, text to image, on ONNX graphs: diffusers'
 * `StableDiffusionXLControlNetPipeline` with one ControlNet and its Euler scheduler. Every size and factor comes from
 * the model folder. One run at a time; the graphs block the thread they are called on.
 */
export class SDXLControlNetPipeline {
  readonly config: ModelConfig;
  readonly maxPixels: number;
  readonly scheduler: EulerDiscreteScheduler;
  readonly #tokenizers: readonly [ClipTokenizer, ClipTokenizer];
  readonly #textEncoder: OnnxSession;
  readonly #textEncoder2: OnnxSession;
  readonly #noise: NoiseGraph;
  readonly #vaeDecoder: OnnxSession;

  private constructor(
    config: ModelConfig,
    options: PipelineOptions,
    tokenizers: readonly [ClipTokenizer, ClipTokenizer],
    sessions: readonly [OnnxSession, OnnxSession, NoiseGraph, OnnxSession],
  ) {
    this.config = config;
    this.maxPixels = options.maxPixels ?? 16 * config.nativeSize ** 2;
    this.scheduler = new EulerDiscreteScheduler(config.scheduler);
    this.#tokenizers = tokenizers;
    [this.#textEncoder, this.#textEncoder2, this.#noise, this.#vaeDecoder] = sessions;
  }

  /**
   * Loads a model folder: diffusers' configs and tokenizers, and `model.onnx` in `text_encoder`, `text_encoder_2`,
   * `unet_controlnet` (both networks in one graph, so that the residuals stay on the device) and `vae_decoder`. What
   * split_steps.py made of `unet_controlnet` is taken in its place on the CPU.
   * @throws ServiceError INTERNAL saying which file is missing, wrong or not supported.
   */
  static async load(folder: string, options: PipelineOptions = {}): Promise<SDXLControlNetPipeline> {
    const config = await readModelConfig(folder);
    const tokenizers = await Promise.all([
      ClipTokenizer.load(join(folder, "tokenizer")),
      ClipTokenizer.load(join(folder, "tokenizer_2")),
    ]);
    const load = (graph: keyof typeof GRAPHS) =>
      OnnxSession.load(join(folder, graph, "model.onnx"), GRAPHS[graph], options);
    const sessions = [
      await load("text_encoder"),
      await load("text_encoder_2"),
      await NoiseGraph.load(folder, options),
      await load("vae_decoder"),
    ] as const;
    return new SDXLControlNetPipeline(config, options, tokenizers, sessions);
  }

  /**
   * Draws one picture. Defaults are diffusers' for this pipeline, except 25 steps and a conditioning scale of 0.5.
   *
   * @throws ServiceError INVALID_ARGUMENT naming the parameter and what it must be; PAYLOAD_TOO_LARGE over
   * {@link maxPixels}; CANCELED when `shouldAbort` says so.
   */
  async generate(params: GenerateParams, hooks: RunHooks = {}): Promise<GeneratedImage> {
    const run = checkParams(params, this.config, this.maxPixels);
    const schedule = this.scheduler.schedule(run.numInferenceSteps);
    const started = performance.now();
    const embeds = await this.#encodeForGuidance(run);
    const encoded = performance.now();
    const latents = run.latents ? run.latents.slice() : gaussianNoise(run.seed, run.latentSize);
    for (let i = 0; i < latents.length; i++) latents[i]! *= schedule.initNoiseSigma;
    const runBefore = this.#noise.runMs;
    await this.#denoise(run, schedule, embeds, latents, hooks);
    const denoiseRunMs = this.#noise.runMs - runBefore;
    const denoised = performance.now();
    throwIfAborted(hooks);
    const image = await this.#decode(run, latents);
    return {
      image,
      seed: run.latents ? null : run.seed,
      droppedTokens: {
        prompt: embeds.dropped.at(-1)!,
        negativePrompt: embeds.dropped.length > 1 ? embeds.dropped[0]! : 0,
      },
      timings: {
        encodeMs: encoded - started,
        denoiseMs: denoised - encoded,
        decodeMs: performance.now() - denoised,
        denoiseRunMs,
      },
    };
  }

  /**
   * Text states of `prompts`: the penultimate hidden states of both encoders side by side, and the pooled state of
   * the second one.
   */
  async encodePrompt(prompts: readonly string[]): Promise<PromptEmbeds> {
    const batch = prompts.length;
    const encode = async (session: OnnxSession, tokenizer: ClipTokenizer) => {
      const encoded = prompts.map((prompt) => tokenizer.encode(prompt));
      const input = session.inputTensor("input_ids", [batch, tokenizer.maxLength]);
      const ids = encoded.flatMap((one) => one.ids);
      if (input.data instanceof BigInt64Array) input.data.set(ids.map(BigInt));
      else input.data.set(ids);
      return { outputs: await session.run({ input_ids: input }), dropped: encoded.map((one) => one.dropped) };
    };
    const first = await encode(this.#textEncoder, this.#tokenizers[0]);
    const second = await encode(this.#textEncoder2, this.#tokenizers[1]);
    const [states1, states2] = [first.outputs.hidden_states!, second.outputs.hidden_states!];
    const [, tokens = 0, width1 = 0] = states1.shape;
    const [, tokens2 = 0, width2 = 0] = states2.shape;
    const width = width1 + width2;
    const pooled = Float32Array.from(second.outputs.text_embeds!.data);
    const { crossAttentionDim, pooledDim } = this.config;
    if (tokens !== tokens2 || width !== crossAttentionDim || pooled.length !== batch * pooledDim)
      throw new ServiceError(
        "INTERNAL",
        `the text encoders give states [${states1.shape}] and [${states2.shape}] and pooled ` +
          `[${second.outputs.text_embeds!.shape}]; the UNet takes ${crossAttentionDim} and ${pooledDim} wide ones`,
      );
    const hiddenStates = new Float32Array(batch * tokens * width);
    for (let row = 0; row < batch * tokens; row++) {
      hiddenStates.set(states1.data.subarray(row * width1, (row + 1) * width1), row * width);
      hiddenStates.set(states2.data.subarray(row * width2, (row + 1) * width2), row * width + width1);
    }
    const dropped = first.dropped.map((count, i) => Math.max(count, second.dropped[i]!));
    return { hiddenStates, pooled, tokens, dropped };
  }

  /** Frees the graphs' memory. */
  async release(): Promise<void> {
    for (const session of [this.#textEncoder, this.#textEncoder2, this.#noise, this.#vaeDecoder])
      await session.release();
  }

  /** Rows in diffusers' order: [negative, positive] with guidance, else the positive one alone. */
  async #encodeForGuidance(run: CheckedParams): Promise<PromptEmbeds> {
    if (!run.guided) return this.encodePrompt([run.prompt]);
    if (run.negativePrompt !== null || !this.config.forceZerosForEmptyPrompt)
      return this.encodePrompt([run.negativePrompt ?? "", run.prompt]);
    const positive = await this.encodePrompt([run.prompt]);
    const hiddenStates = new Float32Array(2 * positive.hiddenStates.length);
    hiddenStates.set(positive.hiddenStates, positive.hiddenStates.length);
    const pooled = new Float32Array(2 * positive.pooled.length);
    pooled.set(positive.pooled, positive.pooled.length);
    return { ...positive, hiddenStates, pooled };
  }

  /** Takes `latents` from noise to a picture's, in place. All memory is laid out before the first step. */
  async #denoise(
    run: CheckedParams,
    schedule: EulerDiscreteSchedule,
    embeds: PromptEmbeds,
    latents: Float32Array,
    hooks: RunHooks,
  ): Promise<void> {
    const { control, controlnetConditioningScale: scale, height, width } = run;
    await this.#noise.begin({
      ...embeds,
      rows: run.guided ? 2 : 1,
      control,
      scale,
      height,
      width,
      latents: [this.config.latentChannels, run.latentHeight, run.latentWidth],
    });
    const sample = new Float32Array(latents.length);
    const noise = new Float32Array(latents.length);
    const total = schedule.timesteps.length;
    for (let step = 0; step < total; step++) {
      throwIfAborted(hooks);
      const start = performance.now();
      const scale = schedule.inputScale(step);
      for (let i = 0; i < latents.length; i++) sample[i] = latents[i]! * scale;
      const runBefore = this.#noise.runMs;
      const prediction = await this.#noise.predict(sample, schedule.timesteps[step]!);
      const runMs = this.#noise.runMs - runBefore;
      guide(prediction, run.guidanceScale, noise);
      schedule.step(noise, step, latents);
      hooks.onStep?.(step + 1, total, { stepMs: performance.now() - start, runMs });
    }
  }

  async #decode(run: CheckedParams, latents: Float32Array): Promise<NDArray<"uint8">> {
    const { decodeScale, decodeShift, latentChannels } = this.config;
    const input = this.#vaeDecoder.inputTensor("latent_sample", [1, latentChannels, run.latentHeight, run.latentWidth]);
    const plane = run.latentHeight * run.latentWidth;
    for (let channel = 0; channel < latentChannels; channel++)
      for (let i = channel * plane; i < (channel + 1) * plane; i++)
        input.data[i] = latents[i]! * decodeScale[channel]! + decodeShift[channel]!;
    const { sample } = await this.#vaeDecoder.run({ latent_sample: input });
    const { height, width } = run;
    return toPixels(sample!.data, [height, width], [run.control.height, run.control.width]);
  }
}

/** Classifier-free guidance over a batch of [negative, positive]: n + scale * (p - n); a batch of one as it is. */
function guide(prediction: GraphFloats, scale: number, out: Float32Array): void {
  const count = out.length;
  if (prediction.length === count) {
    out.set(prediction);
    return;
  }
  for (let i = 0; i < count; i++) {
    const negative = prediction[i]!;
    out[i] = negative + scale * (prediction[count + i]! - negative);
  }
}

function throwIfAborted(hooks: RunHooks): void {
  if (hooks.shouldAbort?.()) throw new ServiceError("CANCELED", "the run was aborted between two steps");
}
