import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ServiceError } from "#shared/errors/service-error.ts";
import { sha256OfFile } from "#shared/model/manifest.ts";
import {
  type GraphData,
  type GraphFloats,
  type GraphTensor,
  OnnxSession,
  type SessionOptions,
} from "../onnx/session.ts";
import { GRAPHS, SPLIT_GRAPHS } from "./graphs.ts";
import { type ControlImage, fillConditioning } from "./image-processor.ts";

/** What the noise of a whole call depends on, besides what each step brings; a row a picture under a prompt. */
export interface NoiseConditions {
  rows: number;
  /** [rows, tokens, crossAttentionDim] */
  hiddenStates: Float32Array;
  tokens: number;
  /** [rows, pooledDim] */
  pooled: Float32Array;
  control: ControlImage;
  /** Padded size in pixels. */
  height: number;
  width: number;
  /** [channels, height, width] of the latents. */
  latents: readonly [number, number, number];
}

/** The step graph's inputs of one call, or of those that share a run, and where its prediction goes: laid out once, filled in for each step. */
export interface NoiseInputs {
  readonly rows: number;
  readonly feeds: Record<string, GraphTensor>;
  /** [rows, channels, height, width] */
  readonly sample: GraphFloats;
  /** [rows], or one number for graphs that take one. */
  readonly timestep: GraphFloats;
  /** [rows], or one number for graphs that take one: weight of the control picture. */
  readonly conditioningScale: GraphFloats;
  readonly prediction: GraphTensor<GraphFloats>;
}

/** ControlNet and UNet: tells the noise in latents. Keeps no state of calls; blocks the thread that it is called on. */
export class NoiseGraph {
  readonly #conditions: OnnxSession | undefined;
  readonly #step: OnnxSession;

  private constructor(step: OnnxSession, conditions?: OnnxSession) {
    this.#step = step;
    this.#conditions = conditions;
  }

  /**
   * Loads `unet_controlnet/model.onnx` below the model folder or, on the CPU, its two parts where split_steps.py has
   * made them. A GPU takes the whole graph: there what is worked out once would be copied to it every step.
   * @throws ServiceError INTERNAL when a graph isn't as it must be, or the parts were made of another one.
   */
  static async load(folder: string, options: SessionOptions = {}): Promise<NoiseGraph> {
    const file = (name: string): string => join(folder, "unet_controlnet", name);
    const split = (options.executionProvider ?? "cpu") === "cpu" && existsSync(file("step.onnx"));
    if (!split) return new NoiseGraph(await OnnxSession.load(file("model.onnx"), GRAPHS.unet_controlnet, options));
    await checkOrigin(file("model.onnx"));
    const conditions = await OnnxSession.load(file("conditions.onnx"), SPLIT_GRAPHS.conditions, options);
    const step = await OnnxSession.load(file("step.onnx"), SPLIT_GRAPHS.step, options);
    const known = new Set(Object.keys(GRAPHS.unet_controlnet.inputs));
    const unknown =
      [...conditions.inputs.keys()].find((name) => !known.has(name)) ??
      [...step.inputs.keys()].find((name) => !known.has(name) && !conditions.outputs.has(name));
    if (unknown !== undefined)
      throw new ServiceError("INTERNAL", `${conditions.name} and ${step.name} want ${unknown}, which nothing gives`);
    return new NoiseGraph(step, conditions);
  }

  /** Milliseconds spent in the graphs since loading. */
  get runMs(): number {
    return this.#step.runMs + (this.#conditions?.runMs ?? 0);
  }

  /** Works out what all steps of a call share, and lays out the memory of its steps. */
  async begin(conditions: NoiseConditions): Promise<NoiseInputs> {
    const feeds = feedsOf(this.#step, conditions);
    if (this.#conditions) Object.assign(feeds, await this.#conditions.run(feedsOf(this.#conditions, conditions)));
    const { rows, latents } = conditions;
    return inputsOf(rows, feeds, this.#step.outputTensor("noise_pred", [rows, ...latents]));
  }

  /** Bytes of a number in the latents. */
  get floatBytes(): number {
    return this.#step.input("sample").dtype === "float16" ? 2 : 4;
  }

  /** Whether calls can share a run: each of the graph's inputs has a row a picture under a prompt. */
  get takesRows(): boolean {
    return [...this.#step.inputs.values()].every(({ shape }) => typeof shape[0] === "string");
  }

  /**
   * Memory of a run that several calls of one size share: their rows one after the other. What stays the same from step to
   * step is copied, the rest is to be written before each run.
   * @throws ServiceError INTERNAL when they are of different sizes.
   */
  join(calls: readonly NoiseInputs[]): NoiseInputs {
    const rows = calls.reduce((sum, one) => sum + one.rows, 0);
    const feeds: Record<string, GraphTensor> = {};
    for (const name in calls[0]!.feeds) {
      const parts = calls.map(({ feeds: { [name]: part } }) => part!);
      const [, ...row] = parts[0]!.shape;
      if (parts.some(({ shape }, i) => shape[0] !== calls[i]!.rows || String(shape.slice(1)) !== String(row)))
        throw new ServiceError("INTERNAL", `${name} cannot be joined: ${parts.map(({ shape }) => `[${shape}]`)}`);
      const joined = this.#step.inputTensor(name, [rows, ...row]);
      const bytes = bytesOf(joined.data);
      let at = 0;
      for (const part of parts) {
        bytes.set(bytesOf(part.data), at);
        at += part.data.byteLength;
      }
      feeds[name] = joined;
    }
    const [, ...latents] = calls[0]!.prediction.shape;
    return inputsOf(rows, feeds, this.#step.outputTensor("noise_pred", [rows, ...latents]));
  }

  /** The noise in `inputs.sample`, of its shape; good until the next call with the same `inputs`. */
  async predict(inputs: NoiseInputs): Promise<GraphFloats> {
    await this.#step.run(inputs.feeds, { noise_pred: inputs.prediction });
    return inputs.prediction.data;
  }

  /** Frees the graphs' memory. */
  async release(): Promise<void> {
    await this.#conditions?.release();
    await this.#step.release();
  }
}

function inputsOf(rows: number, feeds: Record<string, GraphTensor>, prediction: GraphTensor<GraphFloats>): NoiseInputs {
  const floats = (name: string): GraphFloats => feeds[name]!.data as GraphFloats;
  const [sample, timestep, conditioningScale] = [floats("sample"), floats("timestep"), floats("conditioning_scale")];
  return { rows, feeds, sample, timestep, conditioningScale, prediction };
}

function bytesOf({ buffer, byteOffset, byteLength }: GraphData): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Bytes that a call's inputs and its prediction hold between its steps. */
export function heldBytes({ feeds, prediction }: NoiseInputs): number {
  return [...Object.values(feeds), prediction].reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** The parts point into model.onnx: with another one they would draw noise and not say so. */
async function checkOrigin(model: string): Promise<void> {
  const [found, made] = await Promise.all([sha256OfFile(model), readFile(`${model}.sha256`, "utf8")]).catch((cause) => {
    throw new ServiceError("INTERNAL", `${model} and its .sha256 can't be read: ${String(cause)}`, { cause });
  });
  if (found !== made.trim())
    throw new ServiceError(
      "INTERNAL",
      `${dirname(model)}: step.onnx was made of another model.onnx; run gpu-worker/onnx/split_steps.py on it, or remove step.onnx`,
    );
}

/** Tensors for those inputs of a graph that are the pipeline's, filled in but for what each step brings. */
function feedsOf(session: OnnxSession, conditions: NoiseConditions): Record<string, GraphTensor> {
  const { rows, hiddenStates, tokens, pooled, control, height, width, latents } = conditions;
  const feeds: Record<string, GraphTensor> = {};
  const feed = (name: string, shape: readonly number[], fill: (data: GraphFloats) => void): void => {
    const port = session.inputs.get(name);
    if (!port) return;
    feeds[name] = session.inputTensor(name, port.shape.length === 0 ? [] : shape);
    fill(feeds[name].data as GraphFloats);
  };
  feed("sample", [rows, ...latents], () => {});
  feed("timestep", [rows], () => {});
  feed("encoder_hidden_states", [rows, tokens, hiddenStates.length / rows / tokens], (data) => data.set(hiddenStates));
  feed("text_embeds", [rows, pooled.length / rows], (data) => data.set(pooled));
  const size = [height, width, 0, 0, height, width];
  feed("time_ids", [rows, size.length], (data) => data.set(Array(rows).fill(size).flat()));
  feed("controlnet_cond", [rows, 3, height, width], (data) => fillConditioning(control, height, width, data));
  feed("conditioning_scale", [rows], () => {});
  return feeds;
}
