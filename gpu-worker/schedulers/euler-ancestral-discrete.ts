import { z } from "zod";
import { EulerDiscreteSchedule, type EulerLevels } from "./euler-discrete.ts";
import {
  checkSteps,
  NOISE_TABLE_FIELDS,
  NoiseTable,
  parseConfig,
  SPACING_FIELDS,
  spacedTimesteps,
} from "./noise-table.ts";
import type { NoiseSource, Scheduler } from "./scheduler.ts";

/** Fields of `scheduler/scheduler_config.json` that this scheduler reads, with diffusers' defaults. */
const EulerAncestralDiscreteConfig = z.looseObject({ ...NOISE_TABLE_FIELDS, ...SPACING_FIELDS });

/** A call's schedule: each step goes below its noise level and adds new noise up to it. */
export class EulerAncestralDiscreteSchedule extends EulerDiscreteSchedule {
  readonly #noise: NoiseSource;
  #fresh: Float32Array = new Float32Array(0);

  constructor(levels: EulerLevels, noise: NoiseSource) {
    super(levels);
    this.#noise = noise;
  }

  /** k-diffusion's ancestral step with eta 1. Source: diffusers `EulerAncestralDiscreteScheduler.step`. */
  override step(modelOutput: Float32Array, step: number, latents: Float32Array): void {
    const [from, to] = [this.sigmas[step]! ** 2, this.sigmas[step + 1]! ** 2];
    const added = (to * (from - to)) / from;
    this.moveTo(Math.sqrt(to - added), modelOutput, step, latents);
    if (added === 0) return;
    const up = Math.sqrt(added);
    if (this.#fresh.length !== latents.length) this.#fresh = new Float32Array(latents.length);
    this.#noise(this.#fresh);
    for (let i = 0; i < latents.length; i++) latents[i]! += this.#fresh[i]! * up;
  }
}

/** diffusers' EulerAncestralDiscreteScheduler (version 0.42), "Euler a" elsewhere. */
export class EulerAncestralDiscreteScheduler implements Scheduler {
  readonly #config: z.output<typeof EulerAncestralDiscreteConfig>;
  readonly #table: NoiseTable;

  /** @throws ServiceError INTERNAL naming the field of scheduler_config.json whose value isn't supported. */
  constructor(config: unknown) {
    this.#config = parseConfig(EulerAncestralDiscreteConfig, config);
    this.#table = new NoiseTable(this.#config);
  }

  get numTrainTimesteps(): number {
    return this.#table.length;
  }

  schedule(numInferenceSteps: number, noise: NoiseSource): EulerAncestralDiscreteSchedule {
    checkSteps(numInferenceSteps, this.numTrainTimesteps);
    const timesteps = spacedTimesteps(this.#config, numInferenceSteps).map(Math.fround);
    const levels = {
      timesteps,
      sigmas: [...timesteps.map((timestep) => this.#table.sigmaAt(timestep)), 0],
      spacing: this.#config.timestep_spacing,
      predictsVelocity: this.#config.prediction_type === "v_prediction",
    };
    return new EulerAncestralDiscreteSchedule(levels, noise);
  }
}
