import { z } from "zod";
import { ServiceError } from "#shared/errors/service-error.ts";
import { checkSteps, NOISE_TABLE_FIELDS, NoiseTable, parseConfig } from "./noise-table.ts";
import type { NoiseSource, Schedule, Scheduler } from "./scheduler.ts";

/** Fields of `scheduler/scheduler_config.json` that this scheduler reads, with diffusers' defaults. */
const LCMConfig = z.looseObject({
  ...NOISE_TABLE_FIELDS,
  beta_start: z.number().positive().default(0.00085),
  beta_end: z.number().positive().default(0.012),
  beta_schedule: z.enum(["linear", "scaled_linear"]).default("scaled_linear"),
  original_inference_steps: z.int().positive().default(50),
  timestep_scaling: z.number().positive().default(10),
  clip_sample: z.literal(false).default(false),
  thresholding: z.literal(false).default(false),
});

type Config = z.output<typeof LCMConfig>;

/** Spread of the data that the boundary condition counts with. */
const SIGMA_DATA = 0.5;

/** A call's {@link Schedule}: each step foresees the picture and adds new noise to it. */
export class LCMSchedule implements Schedule {
  readonly timesteps: Float32Array;
  readonly initNoiseSigma = 1;
  readonly #config: Config;
  readonly #table: NoiseTable;
  readonly #noise: NoiseSource;
  #fresh: Float32Array = new Float32Array(0);

  constructor(config: Config, table: NoiseTable, timesteps: readonly number[], noise: NoiseSource) {
    this.timesteps = Float32Array.from(timesteps);
    this.#config = config;
    this.#table = table;
    this.#noise = noise;
  }

  inputScale(): number {
    return 1;
  }

  /** Algorithm 3 of https://arxiv.org/abs/2310.04378. Source: diffusers `LCMScheduler.step`. */
  step(modelOutput: Float32Array, step: number, latents: Float32Array): void {
    const timestep = this.timesteps[step]!;
    const product = this.#table.alphasCumprod[timestep]!;
    const [alpha, sigma] = [Math.sqrt(product), Math.sqrt(1 - product)];
    const velocity = this.#config.prediction_type === "v_prediction";
    const [fromSample, fromOutput] = velocity ? [alpha, -sigma] : [1 / alpha, -sigma / alpha];
    const scaled = timestep * this.#config.timestep_scaling;
    const variance = scaled ** 2 + SIGMA_DATA ** 2;
    const out = scaled / Math.sqrt(variance);
    const sample = out * fromSample + SIGMA_DATA ** 2 / variance;
    const output = out * fromOutput;
    const next = this.timesteps[step + 1];
    if (next === undefined) {
      for (let i = 0; i < latents.length; i++) latents[i] = sample * latents[i]! + output * modelOutput[i]!;
      return;
    }
    const nextProduct = this.#table.alphasCumprod[next]!;
    const [nextAlpha, nextSigma] = [Math.sqrt(nextProduct), Math.sqrt(1 - nextProduct)];
    if (this.#fresh.length !== latents.length) this.#fresh = new Float32Array(latents.length);
    this.#noise(this.#fresh);
    for (let i = 0; i < latents.length; i++) {
      const denoised = sample * latents[i]! + output * modelOutput[i]!;
      latents[i] = nextAlpha * denoised + nextSigma * this.#fresh[i]!;
    }
  }
}

/** diffusers' LCMScheduler (version 0.42), for latent consistency models. */
export class LCMScheduler implements Scheduler {
  readonly #config: Config;
  readonly #table: NoiseTable;

  /** @throws ServiceError INTERNAL naming the field of scheduler_config.json whose value isn't supported. */
  constructor(config: unknown) {
    this.#config = parseConfig(LCMConfig, config);
    this.#table = new NoiseTable(this.#config);
    const { original_inference_steps: original } = this.#config;
    if (original > this.#table.length)
      throw new ServiceError(
        "INTERNAL",
        `scheduler_config.json: original_inference_steps ${original} are more than the ${this.#table.length} of training`,
      );
  }

  get numTrainTimesteps(): number {
    return this.#table.length;
  }

  /** Steps are chosen among the `original_inference_steps` that such models are distilled for. */
  schedule(numInferenceSteps: number, noise: NoiseSource): LCMSchedule {
    const original = this.#config.original_inference_steps;
    checkSteps(numInferenceSteps, original);
    const stride = Math.floor(this.numTrainTimesteps / original);
    const timesteps = Array.from({ length: numInferenceSteps }, (_, i) => {
      const place = Math.floor(i * (original / numInferenceSteps));
      return (original - place) * stride - 1;
    });
    return new LCMSchedule(this.#config, this.#table, timesteps, noise);
  }
}
