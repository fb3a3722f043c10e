import { z } from "zod";
import { ServiceError } from "#shared/errors/service-error.ts";
import { alphasCumprod } from "./betas.ts";

/** Fields of `scheduler/scheduler_config.json` that every sampler reads, with the defaults of most. */
export const NOISE_TABLE_FIELDS = {
  num_train_timesteps: z.int().positive().default(1000),
  beta_start: z.number().positive().default(0.0001),
  beta_end: z.number().positive().default(0.02),
  beta_schedule: z.enum(["linear", "scaled_linear"]).default("linear"),
  trained_betas: z.array(z.number()).nullish(),
  prediction_type: z.enum(["epsilon", "v_prediction"]).default("epsilon"),
  rescale_betas_zero_snr: z.boolean().default(false),
};

/** Fields of the samplers that place their steps on the table by diffusers' three rules. */
export const SPACING_FIELDS = {
  timestep_spacing: z.enum(["linspace", "leading", "trailing"]).default("linspace"),
  steps_offset: z.int().default(0),
};

/** Fields of the samplers that can take their noise levels from a formula in the table's place. */
export const SIGMA_FIELDS = {
  use_karras_sigmas: z.boolean().nullish(),
  use_exponential_sigmas: z.literal(false).nullish(),
  use_beta_sigmas: z.literal(false).nullish(),
  sigma_min: z.number().positive().nullish(),
  sigma_max: z.number().positive().nullish(),
  final_sigmas_type: z.enum(["zero", "sigma_min"]).default("zero"),
};

/**
 * `config` (a parsed scheduler_config.json) as `schema` has it; fields that it doesn't name are ignored, as diffusers does.
 * @throws ServiceError INTERNAL naming the field whose value isn't supported.
 */
export function parseConfig<S extends z.ZodType>(schema: S, config: unknown): z.output<S> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ServiceError("INTERNAL", `scheduler_config.json isn't supported: ${faults.join("; ")}`);
}

type NoiseTableConfig = z.output<z.ZodObject<typeof NOISE_TABLE_FIELDS>>;
type SpacingConfig = z.output<z.ZodObject<typeof SPACING_FIELDS>>;

/** The noise that a model was trained with, a training timestep. */
export class NoiseTable {
  /** Share of the signal's variance, falling. */
  readonly alphasCumprod: Float32Array;
  /** Noise level, sqrt((1 - alphaCumprod) / alphaCumprod), rising. */
  readonly sigmas: Float32Array;

  constructor(config: NoiseTableConfig) {
    this.alphasCumprod = alphasCumprod(config);
    this.sigmas = this.alphasCumprod.map((product) => Math.sqrt(Math.fround(Math.fround(1 - product) / product)));
  }

  get length(): number {
    return this.sigmas.length;
  }

  /** Sigma at a timestep that may lie between two training timesteps: numpy's `interp`, which clamps at both ends. */
  sigmaAt(timestep: number): number {
    const last = this.sigmas.length - 1;
    if (timestep <= 0) return this.sigmas[0]!;
    if (timestep >= last) return this.sigmas[last]!;
    const low = Math.floor(timestep);
    const [from, to] = [this.sigmas[low]!, this.sigmas[low + 1]!];
    return from + (to - from) * (timestep - low);
  }

  /** The timestep at which the table has `sigma`, between two entries in proportion of the logarithms. */
  timestepAt(sigma: number): number {
    const log = Math.log(Math.max(sigma, 1e-10));
    const logAt = (timestep: number): number => Math.fround(Math.log(this.sigmas[timestep]!));
    let low = 0;
    while (low < this.sigmas.length - 2 && logAt(low + 1) <= log) low++;
    const [from, to] = [logAt(low), logAt(low + 1)];
    const weight = Math.min(Math.max((from - log) / (from - to), 0), 1);
    return (1 - weight) * low + weight * (low + 1);
  }
}

/** Equation 5 of https://arxiv.org/abs/2206.00364 with rho 7: `steps` noise levels, falling. */
export function karrasSigmas(sigmaMin: number, sigmaMax: number, steps: number): number[] {
  const [low, high] = [sigmaMin ** (1 / 7), sigmaMax ** (1 / 7)];
  return Array.from({ length: steps }, (_, i) => (high + (i / Math.max(steps - 1, 1)) * (low - high)) ** 7);
}

/** Timesteps of the Euler samplers: table 2 of https://arxiv.org/abs/2305.08891, falling, with numpy's rounding. */
export function spacedTimesteps(config: NoiseTableConfig & SpacingConfig, steps: number): number[] {
  const { timestep_spacing: spacing, num_train_timesteps: count, steps_offset: offset } = config;
  if (spacing === "trailing") return trailingTimesteps(count, steps);
  if (spacing === "leading") {
    const stride = Math.floor(count / steps);
    return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride + offset);
  }
  const stride = steps === 1 ? 0 : (count - 1) / (steps - 1);
  return Array.from({ length: steps }, (_, i) => (i === 0 && steps > 1 ? count - 1 : (steps - 1 - i) * stride));
}

/** numpy's `arange(count, 0, -count / steps)`, which steps by the rounded difference of its first two values. */
export function trailingTimesteps(count: number, steps: number): number[] {
  const stride = count / steps;
  const delta = count - stride - count;
  return Array.from({ length: Math.ceil(-count / -stride) }, (_, i) => roundHalfToEven(count + i * delta) - 1);
}

/** numpy's `round`. */
export function roundHalfToEven(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** @throws ServiceError INVALID_ARGUMENT unless `steps` is a whole number from 1 to `most`. */
export function checkSteps(steps: number, most: number): void {
  if (Number.isInteger(steps) && steps >= 1 && steps <= most) return;
  throw new ServiceError("INVALID_ARGUMENT", `num_inference_steps is ${steps}; give a whole number from 1 to ${most}`, {
    detail: [{ path: ["num_inference_steps"], message: `must be a whole number, 1..${most}` }],
  });
}
