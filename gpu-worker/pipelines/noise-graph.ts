import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ServiceError } from "#shared/errors/service-error.ts";
import { type GraphFloats, type GraphTensor, OnnxSession, type SessionOptions } from "../onnx/session.ts";
import { GRAPHS, SPLIT_GRAPHS } from "./graphs.ts";
import { type ControlImage, fillConditioning } from "./image-processor.ts";

/** What the noise of a whole run depends on, besides latents and timestep; a row a prompt. */
export interface NoiseConditions {
  rows: number;
  /** [rows, tokens, crossAttentionDim] */
  hiddenStates: Float32Array;
  tokens: number;
  /** [rows, pooledDim] */
  pooled: Float32Array;
  control: ControlImage;
  /** Weight of the control picture. */
  scale: number;
  /** Padded size in pixels. */
  height: number;
  width: number;
  /** [channels, height, width] of the latents. */
  latents: readonly [number, number, number];
}

/** ControlNet and UNet: tells the noise in latents. One run at a time; blocks the thread that it is called on. */
export class NoiseGraph {
  readonly #conditions: OnnxSession | undefined;
  readonly #step: OnnxSession;
  #feeds: Record<string, GraphTensor> = {};
  #prediction!: GraphTensor<GraphFloats>;

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

  /** Begins a run. All memory of its steps is laid out here. */
  async begin(conditions: NoiseConditions): Promise<void> {
    const shape = [conditions.rows, ...conditions.latents];
    this.#feeds = feedsOf(this.#step, conditions);
    if (this.#conditions) Object.assign(this.#feeds, await this.#conditions.run(feedsOf(this.#conditions, conditions)));
    this.#prediction = this.#step.outputTensor("noise_pred", shape);
  }

  /** The noise of `latents` for each row, [rows, ...latents]; good until the next call. */
  async predict(latents: Float32Array, timestep: number): Promise<GraphFloats> {
    const sample = this.#feeds.sample!.data as GraphFloats;
    for (let start = 0; start < sample.length; start += latents.length) sample.set(latents, start);
    (this.#feeds.timestep!.data as GraphFloats).fill(timestep);
    await this.#step.run(this.#feeds, { noise_pred: this.#prediction });
    return this.#prediction.data;
  }

  /** Frees the graphs' memory. */
  async release(): Promise<void> {
    await this.#conditions?.release();
    await this.#step.release();
  }
}

/** The parts point into model.onnx: with another one they would draw noise and not say so. */
async function checkOrigin(model: string): Promise<void> {
  const [bytes, made] = await Promise.all([readFile(model), readFile(`${model}.sha256`, "utf8")]).catch((cause) => {
    throw new ServiceError("INTERNAL", `${model} and its .sha256 can't be read: ${String(cause)}`, { cause });
  });
  if (createHash("sha256").update(bytes).digest("hex") !== made.trim())
    throw new ServiceError(
      "INTERNAL",
      `${dirname(model)}: step.onnx was made of another model.onnx; run gpu-worker/onnx/split_steps.py on it, or remove step.onnx`,
    );
}

/** Tensors for those inputs of a graph that are the pipeline's, filled in but for the latents and the timestep. */
function feedsOf(session: OnnxSession, conditions: NoiseConditions): Record<string, GraphTensor> {
  const { rows, hiddenStates, tokens, pooled, control, scale, height, width, latents } = conditions;
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
  feed("conditioning_scale", [rows], (data) => data.fill(scale));
  return feeds;
}
