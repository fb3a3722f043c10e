import { z } from "zod";
import { ServiceError } from "#shared/errors/service-error.ts";
import { alphasCumprod } from "./betas.ts";

/** Fields of `scheduler/scheduler_config.json` that this scheduler reads, with diffusers' defaults. */
const EulerDiscreteConfig = z.looseObject({
  _class_name: z.literal("EulerDiscreteScheduler").default("EulerDiscreteScheduler"),
  num_train_timesteps: z.int().positive().default(1000),
  beta_start: z.number().positive().default(0.0001),
  beta_end: z.number().positive().default(0.02),
  beta_schedule: z.enum(["linear", "scaled_linear"]).default("linear"),
  trained_betas: z.array(z.number()).nullish(),
  prediction_type: z.enum(["epsilon", "v_prediction"]).default("epsilon"),
  interpolation_type: z.literal("linear").default("linear"),
  use_karras_sigmas: z.boolean().nullish(),
  use_exponential_sigmas: z.literal(false).nullish(),
  use_beta_sigmas: z.literal(false).nullish(),
  sigma_min: z.number().positive().nullish(),
  sigma_max: z.number().positive().nullish(),
  timestep_spacing: z.enum(["linspace", "leading", "trailing"]).default("linspace"),
  timestep_type: z.literal("discrete").default("discrete"),
  steps_offset: z.int().default(0),
  rescale_betas_zero_snr: z.boolean().default(false),
  final_sigmas_type: z.enum(["zero", "sigma_min"]).default("zero"),
});

/** One run's place on the noise scale: made for a run and thrown away with it. */
export class EulerDiscreteSchedule {
  /** Training timestep that the UNet is told, a step. */
  readonly timesteps: Float32Array;
  /** Noise level of each step, one more than there are steps: the last is where the run ends. */
  readonly sigmas: Float32Array;
  /** Standard deviation of the first latents. */
  readonly initNoiseSigma: number;
  readonly #predictsVelocity: boolean;

  constructor(timesteps: Float32Array, sigmas: Float32Array, initNoiseSigma: number, predictsVelocity: boolean) {
    this.timesteps = timesteps;
    this.sigmas = sigmas;
    this.initNoiseSigma = initNoiseSigma;
    this.#predictsVelocity = predictsVelocity;
  }

  /** Factor that brings latents at `step` to the size the UNet was trained on: 1 / sqrt(sigma^2 + 1). */
  inputScale(step: number): number {
    return 1 / Math.sqrt(this.sigmas[step]! ** 2 + 1);
  }

  /**
   * Moves `latents` in place from the noise level of `step` to that of the next one, along the derivative that
   * `modelOutput` (of the same length) gives: Euler's method, algorithm 2 of https://arxiv.org/abs/2206.00364 with
   * no churn. Source: diffusers `EulerDiscreteScheduler.step`.
   */
  step(modelOutput: Float32Array, step: number, latents: Float32Array): void {
    const sigma = this.sigmas[step]!;
    const dt = this.sigmas[step + 1]! - sigma;
    if (!this.#predictsVelocity) {
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

/**
 * diffusers' EulerDiscreteScheduler (version 0.42): holds the training noise table, hands out one
 * {@link EulerDiscreteSchedule} a run and keeps no state between runs.
 */
export class EulerDiscreteScheduler {
  readonly numTrainTimesteps: number;
  readonly #config: z.output<typeof EulerDiscreteConfig>;
  /** Noise level of each training timestep, rising. */
  readonly #trainSigmas: Float32Array;

  /**
   * @param config parsed `scheduler_config.json`; unknown fields are ignored, as diffusers does.
   * @throws ServiceError INTERNAL naming the field whose value isn't supported.
   */
  constructor(config: unknown) {
    const parsed = EulerDiscreteConfig.safeParse(config);
    if (!parsed.success) {
      const faults = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
      throw new ServiceError("INTERNAL", `scheduler_config.json isn't supported: ${faults.join("; ")}`);
    }
    this.#config = parsed.data;
    const products = alphasCumprod({ ...parsed.data });
    this.numTrainTimesteps = products.length;
    this.#trainSigmas = products.map((product) => Math.sqrt(Math.fround(Math.fround(1 - product) / product)));
  }

  /**
   * Timesteps and sigmas for a run of `numInferenceSteps`.
   * @throws ServiceError INVALID_ARGUMENT unless it is a whole number from 1 to the number of training timesteps.
   */
  schedule(numInferenceSteps: number): EulerDiscreteSchedule {
    const { timestep_spacing: spacing, final_sigmas_type: end } = this.#config;
    if (!Number.isInteger(numInferenceSteps) || numInferenceSteps < 1 || numInferenceSteps > this.numTrainTimesteps)
      throw new ServiceError(
        "INVALID_ARGUMENT",
        `num_inference_steps is ${numInferenceSteps}; give a whole number from 1 to ${this.numTrainTimesteps}`,
        {
          detail: [{ path: ["num_inference_steps"], message: `must be a whole number, 1..${this.numTrainTimesteps}` }],
        },
      );
    let timesteps: readonly number[] = this.#timesteps(numInferenceSteps).map(Math.fround);
    let sigmas: readonly number[] = timesteps.map((t) => this.#sigmaAt(t));
    if (this.#config.use_karras_sigmas) {
      sigmas = karras(
        this.#config.sigma_min ?? sigmas.at(-1)!,
        this.#config.sigma_max ?? sigmas[0]!,
        numInferenceSteps,
      );
      const logs = this.#trainSigmas.map(Math.log);
      timesteps = sigmas.map((sigma) => timestepOf(sigma, logs));
    }
    const levels = Float32Array.of(...sigmas, end === "zero" ? 0 : this.#trainSigmas[0]!);
    const most = levels.reduce((a, b) => Math.max(a, b));
    return new EulerDiscreteSchedule(
      Float32Array.from(timesteps),
      levels,
      Math.fround(spacing === "leading" ? Math.sqrt(most * most + 1) : most),
      this.#config.prediction_type === "v_prediction",
    );
  }

  /** Table 2 of https://arxiv.org/abs/2305.08891, falling, with numpy's rounding. */
  #timesteps(steps: number): number[] {
    const { timestep_spacing: spacing, num_train_timesteps: count, steps_offset: offset } = this.#config;
    if (spacing === "linspace") {
      const stride = steps === 1 ? 0 : (count - 1) / (steps - 1);
      return Array.from({ length: steps }, (_, i) => (i === 0 && steps > 1 ? count - 1 : (steps - 1 - i) * stride));
    }
    if (spacing === "leading") {
      const stride = Math.floor(count / steps);
      return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride + offset);
    }
    const stride = count / steps;
    // numpy's arange steps by the rounded difference of its first two values.
    const delta = count - stride - count;
    return Array.from({ length: Math.ceil(-count / -stride) }, (_, i) => roundHalfToEven(count + i * delta) - 1);
  }

  /** Sigma at a timestep that may lie between two training timesteps: numpy's `interp`, which clamps at both ends. */
  #sigmaAt(timestep: number): number {
    const last = this.#trainSigmas.length - 1;
    if (timestep <= 0) return this.#trainSigmas[0]!;
    if (timestep >= last) return this.#trainSigmas[last]!;
    const low = Math.floor(timestep);
    const [from, to] = [this.#trainSigmas[low]!, this.#trainSigmas[low + 1]!];
    return from + (to - from) * (timestep - low);
  }
}

/** Equation 5 of https://arxiv.org/abs/2206.00364 with rho 7. */
function karras(sigmaMin: number, sigmaMax: number, steps: number): number[] {
  const [low, high] = [sigmaMin ** (1 / 7), sigmaMax ** (1 / 7)];
  return Array.from({ length: steps }, (_, i) => (high + (i / Math.max(steps - 1, 1)) * (low - high)) ** 7);
}

/** The training timestep at which the noise table has `sigma`, between two entries in proportion of the logarithms. */
function timestepOf(sigma: number, logSigmas: Float32Array): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < logSigmas.length - 2 && logSigmas[low + 1]! <= log) low++;
  const [from, to] = [logSigmas[low]!, logSigmas[low + 1]!];
  const weight = Math.min(Math.max((from - log) / (from - to), 0), 1);
  return (1 - weight) * low + weight * (low + 1);
}

function roundHalfToEven(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
