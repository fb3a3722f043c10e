/** Fills an array with the next unit normal numbers of a call's own generator. */
export type NoiseSource = (out: Float32Array) => void;

/**
 * One call's way from noise to picture: made for a call and thrown away with it, so that calls at different steps can
 * share a run of the model. Its methods are called for each step once, in order.
 */
export interface Schedule {
  /** Training timestep that the UNet is told, a step. Its length is the number of steps. */
  readonly timesteps: Float32Array;
  /** Standard deviation of the first latents. */
  readonly initNoiseSigma: number;
  /** Factor that brings latents at `step` to the size the UNet was trained on. */
  inputScale(step: number): number;
  /**
   * Moves `latents` in place from the noise level of `step` to that of the next one, by what the model said of them
   * (`modelOutput`, of the same length: one picture's numbers or several pictures').
   */
  step(modelOutput: Float32Array, step: number, latents: Float32Array): void;
}

/** A sampler and its noise table, read from a model's config. Keeps no state of calls. */
export interface Scheduler {
  readonly numTrainTimesteps: number;
  /**
   * Begins a call of `numInferenceSteps`. `noise` gives what the sampler adds between steps; some add none.
   * @throws ServiceError INVALID_ARGUMENT naming `num_inference_steps` and its range.
   */
  schedule(numInferenceSteps: number, noise: NoiseSource): Schedule;
}
