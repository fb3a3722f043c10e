import type { GraphFloats } from "../onnx/session.ts";
import type { Schedule } from "../schedulers/scheduler.ts";
import type { CheckedParams } from "./generate-params.ts";

/**
 * One call on its way from noise to pictures: its latents, its schedule and its place in it. A step is
 * {@link writeSample}, a run of the graph, {@link advance}; the calls that share a run of the graph each write and take
 * their own rows. A row is one picture under one prompt: all pictures under the negative one, then all under the positive
 * one, as diffusers has them; without guidance the positive ones alone.
 */
export class Denoising {
  /** Rows that a step takes. */
  readonly rows: number;
  /** [pictures, channels, height, width] */
  readonly latents: Float32Array;
  readonly totalSteps: number;
  /** Steps done, from 0; the step that comes next while not {@link done}. */
  step = 0;
  readonly #params: CheckedParams;
  readonly #schedule: Schedule;
  /** The prediction after guidance. */
  readonly #guided: Float32Array;

  /** @param latents unit normal noise; kept and changed. */
  constructor(params: CheckedParams, schedule: Schedule, latents: Float32Array) {
    this.#params = params;
    this.#schedule = schedule;
    this.rows = params.pictures * (params.guided ? 2 : 1);
    this.latents = latents;
    this.totalSteps = schedule.timesteps.length;
    for (let i = 0; i < latents.length; i++) latents[i]! *= schedule.initNoiseSigma;
    this.#guided = new Float32Array(latents.length);
  }

  /** True after the last step: the latents are the pictures'. */
  get done(): boolean {
    return this.step === this.totalSteps;
  }

  /** Training timestep of the next step, the same for all rows. */
  get timestep(): number {
    return this.#schedule.timesteps[this.step]!;
  }

  /** Weight of the control picture in the next step, 0 outside of control_guidance_start and control_guidance_end. */
  get conditioningScale(): number {
    const { controlGuidanceStart: start, controlGuidanceEnd: end } = this.#params;
    const outside = this.step / this.totalSteps < start || (this.step + 1) / this.totalSteps > end;
    return outside ? 0 : this.#params.controlnetConditioningScale;
  }

  /** Writes what the graph shall see in the next step, [rows, channels, height, width]. */
  writeSample(sample: GraphFloats): void {
    const { latents } = this;
    const scale = this.#schedule.inputScale(this.step);
    for (let i = 0; i < latents.length; i++) sample[i] = latents[i]! * scale;
    if (this.#params.guided) sample.copyWithin(latents.length, 0, latents.length);
  }

  /** Does the step, with the noise that the graph saw in what {@link writeSample} wrote; of the same shape. */
  advance(prediction: GraphFloats): void {
    this.#schedule.step(this.#guide(prediction), this.step, this.latents);
    this.step++;
  }

  /** Classifier-free guidance: n + scale * (p - n). */
  #guide(prediction: GraphFloats): Float32Array {
    const { guided, guidanceScale: scale } = this.#params;
    const out = this.#guided;
    if (!guided) out.set(prediction);
    else
      for (let i = 0; i < out.length; i++) {
        const negative = prediction[i]!;
        out[i] = negative + scale * (prediction[out.length + i]! - negative);
      }
    return out;
  }
}
