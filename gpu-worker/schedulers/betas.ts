import { ServiceError } from "#shared/errors/service-error.ts";

/** The noise table's part of a diffusers scheduler config, by diffusers' names. */
export interface BetasConfig {
  num_train_timesteps: number;
  beta_start: number;
  beta_end: number;
  beta_schedule: string;
  trained_betas?: readonly number[] | null | undefined;
  rescale_betas_zero_snr: boolean;
}

/**
 * Cumulative products of alpha = 1 - beta, one a training timestep, in float32 as diffusers computes them (rounding
 * where torch rounds, so that sigmas agree to the last bits).
 *
 * Source: diffusers `EulerDiscreteScheduler.__init__` and `rescale_zero_terminal_snr`.
 * @throws ServiceError INTERNAL for a `beta_schedule` that isn't `linear` or `scaled_linear`.
 */
export function alphasCumprod(config: BetasConfig): Float32Array {
  let betas = betasOf(config);
  if (config.rescale_betas_zero_snr) betas = rescaleToZeroTerminalSnr(betas);
  const products = cumulativeProducts(betas);
  // Not quite 0, so that the first sigma is finite: the smallest number float16 can hold, as diffusers has it.
  if (config.rescale_betas_zero_snr) products[products.length - 1] = 2 ** -24;
  return products;
}

function betasOf(config: BetasConfig): Float32Array {
  const { beta_start: start, beta_end: end, num_train_timesteps: count } = config;
  if (config.trained_betas) return Float32Array.from(config.trained_betas);
  if (config.beta_schedule === "linear") return linspace(start, end, count);
  if (config.beta_schedule === "scaled_linear")
    return linspace(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
  throw new ServiceError(
    "INTERNAL",
    `scheduler_config.json: beta_schedule ${config.beta_schedule} isn't supported; use linear or scaled_linear`,
  );
}

/** `torch.linspace` in float32: counted from whichever end is nearer. */
function linspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)];
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + Math.fround(step * i) : last - Math.fround(step * (count - 1 - i)),
  );
}

/** torch's cumprod: accumulates in float64, stores float32. */
function cumulativeProducts(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}

/** Algorithm 1 of https://arxiv.org/abs/2305.08891: betas whose last timestep carries no signal at all. */
function rescaleToZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeProducts(betas).map(Math.sqrt);
  const [first, last] = [roots[0]!, roots.at(-1)!];
  const gain = Math.fround(first / Math.fround(first - last));
  const bars = roots.map((root) => Math.fround(Math.fround(root - last) * gain) ** 2);
  return bars.map((bar, i) => 1 - (i === 0 ? bar : Math.fround(bar / bars[i - 1]!)));
}
