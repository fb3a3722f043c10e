import { join } from "node:path";
import type { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { OnnxSession, type SessionOptions } from "../onnx/session.ts";
import { Schedulers } from "../schedulers/schedulers.ts";
import { ClipTokenizer } from "../tokenizers/clip-tokenizer.ts";
import { Denoising } from "./denoising.ts";
import {
  type CheckedParams,
  checkParams,
  type GeneratedImages,
  type GenerateParams,
  type RunHooks,
} from "./generate-params.ts";
import { GRAPHS } from "./graphs.ts";
import { toPixels } from "./image-processor.ts";
import { type ModelConfig, readModelConfig } from "./model-config.ts";
import { NoiseGraph, type NoiseInputs } from "./noise-graph.ts";
import { TorchGenerator } from "./random.ts";
import { StepBatch } from "./step-batch.ts";
import { VaeDecoder, type VaeTiling } from "./vae-decoder.ts";

export interface PipelineOptions extends SessionOptions {
  /** Most pixels of a picture, padding included; default 16 times the native picture's. */
  maxPixels?: number;
  /** Default auto. */
  vaeTiling?: VaeTiling;
}

/** Text states of a batch, one row a prompt. */
export interface PromptEmbeds {
  rows: number;
  /** [batch, tokens, crossAttentionDim] */
  hiddenStates: Float32Array;
  /** [batch, pooledDim] */
  pooled: Float32Array;
  tokens: number;
  /** Tokens that did not fit, a prompt. */
  dropped: number[];
  /** Their text, a prompt: once where both tokenizers read the same. */
  removed: string[][];
}

/** A call between two of its steps: what {@link SDXLControlNetPipeline.prepare} makes and {@link StepBatch} and `decode` take. */
export interface PictureCall {
  readonly params: CheckedParams;
  readonly denoising: Denoising;
  readonly inputs: NoiseInputs;
  readonly droppedTokens: GeneratedImages["droppedTokens"];
  readonly warnings: string[];
  /** Milliseconds so far. */
  readonly timings: Omit<GeneratedImages["timings"], "decodeMs">;
}

/**
 * Stable Diffusion XL with a ControlNet, text to image, on ONNX graphs: diffusers'
 * `StableDiffusionXLControlNetPipeline` with one ControlNet. Every size and factor comes from the model folder. All state
 * of a call is in its {@link PictureCall}; the graphs block the thread they are called on.
 */
export class SDXLControlNetPipeline {
  readonly config: ModelConfig;
  readonly maxPixels: number;
  readonly schedulers: Schedulers;
  readonly #tokenizers: readonly [ClipTokenizer, ClipTokenizer];
  readonly #textEncoder: OnnxSession;
  readonly #textEncoder2: OnnxSession;
  readonly #noise: NoiseGraph;
  readonly #vaeDecoder: VaeDecoder;

  private constructor(
    config: ModelConfig,
    options: PipelineOptions,
    tokenizers: readonly [ClipTokenizer, ClipTokenizer],
    sessions: readonly [OnnxSession, OnnxSession, NoiseGraph, VaeDecoder],
  ) {
    this.config = config;
    this.maxPixels = options.maxPixels ?? 16 * config.nativeSize ** 2;
    this.schedulers = new Schedulers(config.scheduler);
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
      await VaeDecoder.load(folder, config, options),
    ] as const;
    return new SDXLControlNetPipeline(config, options, tokenizers, sessions);
  }

  /**
   * Draws a call's pictures: {@link check}, {@link prepare}, steps until done, {@link decode}. Defaults are diffusers' for this
   * pipeline, except 25 steps and a conditioning scale of 0.5.
   *
   * @throws ServiceError INVALID_ARGUMENT naming the parameter and what it must be; PAYLOAD_TOO_LARGE over
   * {@link maxPixels}; CANCELED when `shouldAbort` says so.
   */
  async generate(params: GenerateParams, hooks: RunHooks = {}): Promise<GeneratedImages> {
    const call = await this.prepare(this.check(params));
    const { denoising } = call;
    const batch = this.batch([call]);
    while (!denoising.done) {
      throwIfAborted(hooks);
      const timings = await batch.step();
      hooks.onStep?.(denoising.step, denoising.totalSteps, timings);
    }
    throwIfAborted(hooks);
    return this.decode(call);
  }

  /** Bytes of a number in the noise graph's latents. */
  get floatBytes(): number {
    return this.#noise.floatBytes;
  }

  /** Bytes of a number in the decoder's latents. */
  get decoderFloatBytes(): number {
    return this.#vaeDecoder.floatBytes;
  }

  /** Pixels of one picture that are decoded at once. */
  decodedAtOnce({ latentHeight, latentWidth }: CheckedParams): number {
    return this.#vaeDecoder.pixelsAtOnce(latentHeight, latentWidth);
  }

  /** Whether calls may share runs: every input of the graph has a row a picture under a prompt. */
  get takesRows(): boolean {
    return this.#noise.takesRows;
  }

  /**
   * Checks a call's parameters, its sampler's among them, and works out its sizes.
   * @throws ServiceError INVALID_ARGUMENT, PAYLOAD_TOO_LARGE as {@link generate}
   */
  check(params: GenerateParams): CheckedParams {
    const checked = checkParams(params, this.config, this.maxPixels);
    this.schedulers.get(checked.scheduler).schedule(checked.numInferenceSteps, () => {});
    return checked;
  }

  /** Encodes the prompts, draws the noise and lays out all memory of the steps of a call that {@link check} has seen. */
  async prepare(checked: CheckedParams): Promise<PictureCall> {
    const scheduler = this.schedulers.get(checked.scheduler);
    const generator = new TorchGenerator(checked.seed);
    const noise = (out: Float32Array): void => generator.randn(out);
    const schedule = scheduler.schedule(checked.numInferenceSteps, noise);
    const started = performance.now();
    const embeds = await this.#encodeForGuidance(checked);
    const encoded = performance.now();
    const latents = new Float32Array(checked.latentSize);
    if (checked.latents) latents.set(checked.latents);
    else noise(latents);
    const denoising = new Denoising(checked, schedule, latents);
    const runBefore = this.#noise.runMs;
    const inputs = await this.#noise.begin({
      rows: denoising.rows,
      hiddenStates: repeatRows(embeds.hiddenStates, embeds.rows, checked.pictures),
      tokens: embeds.tokens,
      pooled: repeatRows(embeds.pooled, embeds.rows, checked.pictures),
      control: checked.control,
      height: checked.height,
      width: checked.width,
      latents: [this.config.latentChannels, checked.latentHeight, checked.latentWidth],
    });
    // Zeros in the place of a negative prompt aren't encoded.
    const [negative, positive] = embeds.dropped.length > 1 ? [0, 1] : [undefined, 0];
    return {
      params: checked,
      denoising,
      inputs,
      droppedTokens: {
        prompt: embeds.dropped[positive]!,
        negativePrompt: negative === undefined ? 0 : embeds.dropped[negative]!,
      },
      warnings: [
        ...embeds.removed[positive]!.map((text) => truncationWarning("input", embeds.tokens, text)),
        ...(negative === undefined ? [] : embeds.removed[negative]!).map((text) =>
          truncationWarning("negative_prompt", embeds.tokens, text),
        ),
      ],
      timings: {
        encodeMs: encoded - started,
        denoiseMs: performance.now() - encoded,
        denoiseRunMs: this.#noise.runMs - runBefore,
      },
    };
  }

  /** Does the next step of calls of the same size, none of them done, in one run of the graph. */
  batch(calls: readonly PictureCall[]): StepBatch {
    return new StepBatch(this.#noise, calls);
  }

  /** The pictures of a call that is done, one after the other. */
  async decode({ params, denoising, droppedTokens, warnings, timings }: PictureCall): Promise<GeneratedImages> {
    const start = performance.now();
    const images: NDArray<"uint8">[] = [];
    const size = params.latentSize / params.pictures;
    for (let i = 0; i < params.pictures; i++)
      images.push(await this.#decode(params, denoising.latents.subarray(i * size, (i + 1) * size)));
    const decodeMs = performance.now() - start;
    return { images, seed: params.seed, droppedTokens, warnings, timings: { ...timings, decodeMs } };
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
      return { outputs: await session.run({ input_ids: input }), encoded };
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
    const dropped = first.encoded.map((one, i) => Math.max(one.dropped, second.encoded[i]!.dropped));
    const removed = first.encoded.map((one, i) =>
      [...new Set([one.removed, second.encoded[i]!.removed])].filter(Boolean),
    );
    return { rows: batch, hiddenStates, pooled, tokens, dropped, removed };
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
    return { ...positive, rows: 2, hiddenStates, pooled };
  }

  async #decode(run: CheckedParams, latents: Float32Array): Promise<NDArray<"uint8">> {
    const decoded = await this.#vaeDecoder.decode(latents, run.latentHeight, run.latentWidth);
    return toPixels(decoded, [run.height, run.width], [run.control.height, run.control.width]);
  }
}

/** The warning that diffusers logs (as a Python list has the text), with the name of what was cut. */
function truncationWarning(cut: string, tokens: number, text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const quoted = text.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`);
  return (
    `The following part of your ${cut} was truncated because CLIP can only handle sequences up to ${tokens} tokens: ` +
    `[${quote}${quoted}${quote}]`
  );
}

/** Each of `rows` rows `times` times, one after the other. */
function repeatRows(data: Float32Array, rows: number, times: number): Float32Array {
  const size = data.length / rows;
  const out = new Float32Array(data.length * times);
  for (let row = 0; row < rows * times; row++) {
    const from = Math.floor(row / times) * size;
    out.set(data.subarray(from, from + size), row * size);
  }
  return out;
}

function throwIfAborted(hooks: RunHooks): void {
  if (hooks.shouldAbort?.()) throw new ServiceError("CANCELED", "the run was aborted between two steps");
}
