import { z } from "zod";
import {
  checkSteps,
  karrasSigmas,
  NOISE_TABLE_FIELDS,
  NoiseTable,
  parseConfig,
  roundHalfToEven,
  SIGMA_FIELDS,
  SPACING_FIELDS,
  trailingTimesteps,
} from "./noise-table.ts";
import type { Schedule, Scheduler } from "./scheduler.ts";

/** Fields of `scheduler/scheduler_config.json` that this scheduler reads, with diffusers' defaults. */
const DPMSolverMultistepConfig = z.looseObject({
  ...NOISE_TABLE_FIELDS,
  ...SPACING_FIELDS,
  ...SIGMA_FIELDS,
  algorithm_type: z.literal("dpmsolver++").default("dpmsolver++"),
  solver_order: z.literal(2).default(2),
  solver_type: z.literal("midpoint").default("midpoint"),
  lower_order_final: z.boolean().default(true),
  euler_at_final: z.boolean().default(false),
  thresholding: z.literal(false).default(false),
  use_lu_lambdas: z.literal(false).nullish(),
  use_flow_sigmas: z.literal(false).nullish(),
  variance_type: z.null().optional(),
  /** -Infinity, which is null once read. */
  lambda_min_clipped: z.null().optional(),
});

type Config = z.output<typeof DPMSolverMultistepConfig>;

/** A call's {@link Schedule}: it keeps the picture that the step before foresaw. */
export class DPMSolverMultistepSchedule implements Schedule {
  readonly timesteps: Float32Array;
  /** Noise level of each step, one more than there are steps. */
  readonly sigmas: Float32Array;
  readonly initNoiseSigma = 1;
  readonly #config: Config;
  /** The finished latents as the last step foresaw them. */
  #foreseen: Float32Array | undefined;

  constructor(config: Config, timesteps: readonly number[], sigmas: readonly number[]) {
    this.timesteps = Float32Array.from(timesteps);
    this.sigmas = Float32Array.from(sigmas);
    this.#config = config;
  }

  inputScale(): number {
    return 1;
  }

  /**
   * DPM-Solver++(2M), algorithm 2 of https://arxiv.org/abs/2211.01095, with the first-order step (DDIM) where a second
   * model output is missing or would do harm. Source: diffusers `DPMSolverMultistepScheduler.step`.
   */
  step(modelOutput: Float32Array, step: number, latents: Float32Array): void {
    const [alpha, sigma, lambda] = parts(this.sigmas[step]!);
    const [nextAlpha, nextSigma, nextLambda] = parts(this.sigmas[step + 1]!);
    const h = nextLambda - lambda;
    const keep = nextSigma / sigma;
    const gain = -nextAlpha * Math.expm1(-h);
    const velocity = this.#config.prediction_type === "v_prediction";
    const [fromSample, fromOutput] = velocity ? [alpha, -sigma] : [1 / alpha, -sigma / alpha];
    const before = this.#firstOrder(step) ? undefined : this.#foreseen;
    // Half the change since the last step, in proportion of the two steps' lengths.
    const slope = before ? (0.5 * h) / (lambda - parts(this.sigmas[step - 1]!)[2]) : 0;
    const foreseen = this.#foreseen ?? new Float32Array(latents.length);
    for (let i = 0; i < latents.length; i++) {
      const now = fromSample * latents[i]! + fromOutput * modelOutput[i]!;
      const trend = before ? slope * (now - before[i]!) : 0;
      foreseen[i] = now;
      latents[i] = keep * latents[i]! + gain * (now + trend);
    }
    this.#foreseen = foreseen;
  }

  #firstOrder(step: number): boolean {
    const { euler_at_final, lower_order_final, final_sigmas_type } = this.#config;
    if (step === 0) return true;
    const steps = this.timesteps.length;
    return step === steps - 1 && (euler_at_final || (lower_order_final && steps < 15) || final_sigmas_type === "zero");
  }
}

/** diffusers' DPMSolverMultistepScheduler (version 0.42) as DPM-Solver++ 2M. */
export class DPMSolverMultistepScheduler implements Scheduler {
  readonly #config: Config;
  readonly #table: NoiseTable;

  /** @throws ServiceError INTERNAL naming the field of scheduler_config.json whose value isn't supported. */
  constructor(config: unknown) {
    this.#config = parseConfig(DPMSolverMultistepConfig, config);
    this.#table = new NoiseTable(this.#config);
  }

  get numTrainTimesteps(): number {
    return this.#table.length;
  }

  schedule(numInferenceSteps: number): DPMSolverMultistepSchedule {
    const { use_karras_sigmas, sigma_min, sigma_max, timestep_spacing, final_sigmas_type } = this.#config;
    const table = this.#table;
    // But for trailing steps and Karras' levels, as many steps as timesteps would stand twice on one of them.
    const most = timestep_spacing === "trailing" || use_karras_sigmas ? table.length : table.length - 1;
    checkSteps(numInferenceSteps, most);
    let timesteps = this.#timesteps(numInferenceSteps);
    let sigmas = timesteps.map((timestep) => table.sigmaAt(timestep));
    if (use_karras_sigmas) {
      sigmas = karrasSigmas(sigma_min ?? table.sigmas[0]!, sigma_max ?? table.sigmas.at(-1)!, numInferenceSteps);
      timesteps = sigmas.map((sigma) => roundHalfToEven(table.timestepAt(sigma)));
    }
    const last = final_sigmas_type === "zero" ? 0 : table.sigmas[0]!;
    return new DPMSolverMultistepSchedule(this.#config, timesteps, [...sigmas, last]);
  }

  /** As Euler's, of one step more whose last is left out, and whole numbers. */
  #timesteps(steps: number): number[] {
    const { timestep_spacing: spacing, num_train_timesteps: count, steps_offset: offset } = this.#config;
    if (spacing === "trailing") return trailingTimesteps(count, steps);
    if (spacing === "leading") {
      const stride = Math.floor(count / (steps + 1));
      return Array.from({ length: steps }, (_, i) => (steps - i) * stride + offset);
    }
    const stride = (count - 1) / steps;
    return Array.from({ length: steps }, (_, i) => (i === 0 ? count - 1 : roundHalfToEven((steps - i) * stride)));
  }
}

/** Weights of signal and noise at a level, and half the logarithm of their variances' ratio. */
function parts(sigma: number): readonly [alpha: number, sigma: number, lambda: number] {
  const alpha = 1 / Math.sqrt(sigma * sigma + 1);
  return [alpha, sigma * alpha, -Math.log(sigma)];
}
