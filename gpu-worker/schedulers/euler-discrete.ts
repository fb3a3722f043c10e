import { z } from "zod";
import {
  checkSteps,
  karrasSigmas,
  NOISE_TABLE_FIELDS,
  NoiseTable,
  parseConfig,
  SIGMA_FIELDS,
  SPACING_FIELDS,
  spacedTimesteps,
} from "./noise-table.ts";
import type { Schedule, Scheduler } from "./scheduler.ts";

/** Fields of `scheduler/scheduler_config.json` that this scheduler reads, with diffusers' defaults. */
const EulerDiscreteConfig = z.looseObject({
  ...NOISE_TABLE_FIELDS,
  ...SPACING_FIELDS,
  ...SIGMA_FIELDS,
  interpolation_type: z.literal("linear").default("linear"),
  timestep_type: z.literal("discrete").default("discrete"),
});

/** What the Euler samplers' schedules are made of. */
export interface EulerLevels {
  timesteps: readonly number[];
  /** Noise level of each step, one more than there are steps: the last is where the call ends. */
  sigmas: readonly number[];
  spacing: z.output<typeof SPACING_FIELDS.timestep_spacing>;
  predictsVelocity: boolean;
}

/** A call's {@link Schedule}: steps go straight along the derivative. */
export class EulerDiscreteSchedule implements Schedule {
  readonly timesteps: Float32Array;
  /** Noise level of each step, one more than there are steps. */
  readonly sigmas: Float32Array;
  readonly initNoiseSigma: number;
  protected readonly predictsVelocity: boolean;

  constructor({ timesteps, sigmas, spacing, predictsVelocity }: EulerLevels) {
    this.timesteps = Float32Array.from(timesteps);
    this.sigmas = Float32Array.from(sigmas);
    const most = this.sigmas.reduce((a, b) => Math.max(a, b));
    this.initNoiseSigma = Math.fround(spacing === "leading" ? Math.sqrt(most * most + 1) : most);
    this.predictsVelocity = predictsVelocity;
  }

  /** 1 / sqrt(sigma^2 + 1). */
  inputScale(step: number): number {
    return 1 / Math.sqrt(this.sigmas[step]! ** 2 + 1);
  }

  /**
   * Euler's method, algorithm 2 of https://arxiv.org/abs/2206.00364 with no churn. Source: diffusers
   * `EulerDiscreteScheduler.step`.
   */
  step(modelOutput: Float32Array, step: number, latents: Float32Array): void {
    this.moveTo(this.sigmas[step + 1]!, modelOutput, step, latents);
  }

  /** Moves `latents` from the noise level of `step` to `level` along the derivative that `modelOutput` gives. */
  protected moveTo(level: number, modelOutput: Float32Array, step: number, latents: Float32Array): void {
    const sigma = this.sigmas[step]!;
    const dt = level - sigma;
    if (!this.predictsVelocity) {
      for (let i = 0; i < latents.length; i++) latents[i]! += modelOutput[i]! * dt;
      return;
    }
    const variance = sigma * sigma + 1;
    const fromOutput = dt / Math.sqrt(variance);
    const fromSample = (dt * sigma) / variance;
    for (let i = 0; i < latents.length; i++)
      latents[i] = latents[i]! + latents[i]! * fromSample + modelOutput[i]! * fromOutput;
  }
}

/** diffusers' EulerDiscreteScheduler (version 0.42). */
export class EulerDiscreteScheduler implements Scheduler {
  readonly #config: z.output<typeof EulerDiscreteConfig>;
  readonly #table: NoiseTable;

  /** @throws ServiceError INTERNAL naming the field of scheduler_config.json whose value isn't supported. */
  constructor(config: unknown) {
    this.#config = parseConfig(EulerDiscreteConfig, config);
    this.#table = new NoiseTable(this.#config);
  }

  get numTrainTimesteps(): number {
    return this.#table.length;
  }

  schedule(numInferenceSteps: number): EulerDiscreteSchedule {
    checkSteps(numInferenceSteps, this.numTrainTimesteps);
    const config = this.#config;
    let timesteps = spacedTimesteps(config, numInferenceSteps).map(Math.fround);
    let sigmas = timesteps.map((timestep) => this.#table.sigmaAt(timestep));
    if (config.use_karras_sigmas) {
      sigmas = karrasSigmas(config.sigma_min ?? sigmas.at(-1)!, config.sigma_max ?? sigmas[0]!, numInferenceSteps);
      timesteps = sigmas.map((sigma) => this.#table.timestepAt(sigma));
    }
    return new EulerDiscreteSchedule({
      timesteps,
      sigmas: [...sigmas, config.final_sigmas_type === "zero" ? 0 : this.#table.sigmas[0]!],
      spacing: config.timestep_spacing,
      predictsVelocity: config.prediction_type === "v_prediction",
    });
  }
}
