import type { GraphSpec, PortSpec } from "../onnx/session.ts";

const floats = (...rank: number[]): PortSpec => ({ dtypes: ["float32", "float16"], rank });
const ids: PortSpec = { dtypes: ["int64", "int32"], rank: [2] };

/** What a prediction of noise depends on; a row a prompt. */
const NOISE_INPUTS = {
  sample: floats(4),
  timestep: floats(0, 1),
  encoder_hidden_states: floats(3),
  text_embeds: floats(2),
  time_ids: floats(2),
  controlnet_cond: floats(4),
  conditioning_scale: floats(0, 1),
};
const NOISE = { noise_pred: floats(4) };

/** Names, element types and ranks of the pipeline's graphs, by their folder's name. */
export const GRAPHS = {
  /** `hidden_states`: the penultimate layer's, without final normalisation, [batch, tokens, width]. */
  text_encoder: { inputs: { input_ids: ids }, outputs: { hidden_states: floats(3) } },
  /** `text_embeds`: the projected pooled state, [batch, width]. */
  text_encoder_2: { inputs: { input_ids: ids }, outputs: { hidden_states: floats(3), text_embeds: floats(2) } },
  /** The ControlNet's residuals, times `conditioning_scale`, go into the UNet inside the graph. */
  unet_controlnet: { inputs: NOISE_INPUTS, outputs: NOISE },
  vae_decoder: { inputs: { latent_sample: floats(4) }, outputs: { sample: floats(4) } },
} as const satisfies Record<string, GraphSpec>;

/**
 * `unet_controlnet` in two, as split_steps.py makes them: `conditions` has no step's inputs, and all its outputs are
 * inputs of `step`.
 */
export const SPLIT_GRAPHS = {
  conditions: { inputs: NOISE_INPUTS, outputs: {}, others: floats(0, 1, 2, 3, 4) },
  step: { inputs: NOISE_INPUTS, outputs: NOISE, others: floats(0, 1, 2, 3, 4) },
} as const satisfies Record<string, GraphSpec>;
