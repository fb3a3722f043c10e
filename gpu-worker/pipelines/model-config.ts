import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { ServiceError } from "#shared/errors/service-error.ts";

const ModelIndex = z.looseObject({
  _class_name: z.literal("StableDiffusionXLControlNetPipeline"),
  _name_or_path: z.string().min(1).optional(),
  force_zeros_for_empty_prompt: z.boolean().default(true),
});

const UNetConfig = z.looseObject({
  in_channels: z.int().positive(),
  sample_size: z.union([z.int().positive(), z.tuple([z.int().positive(), z.int().positive()])]),
  block_out_channels: z.array(z.int().positive()).min(1),
  cross_attention_dim: z.union([z.int().positive(), z.array(z.int().positive()).min(1)]),
  addition_embed_type: z.literal("text_time"),
  addition_time_embed_dim: z.int().positive(),
  projection_class_embeddings_input_dim: z.int().positive(),
});

const VaeConfig = z.looseObject({
  block_out_channels: z.array(z.int().positive()).min(1),
  latent_channels: z.int().positive(),
  sample_size: z.int().positive().default(32),
  scaling_factor: z.number().positive(),
  shift_factor: z.null().optional(),
  latents_mean: z.array(z.number()).nullish(),
  latents_std: z.array(z.number().positive()).nullish(),
});

const ControlNetConfig = z.looseObject({
  conditioning_channels: z.literal(3).default(3),
  controlnet_conditioning_channel_order: z.literal("rgb").default("rgb"),
});

/** What the pipeline knows of a model, all of it read from the configs that diffusers saves beside the weights. */
export interface ModelConfig {
  /** `_name_or_path` of model_index.json, else the folder's name. */
  name: string;
  /** Without a negative prompt, the negative embeddings are zeros. */
  forceZerosForEmptyPrompt: boolean;
  latentChannels: number;
  /** Pixels a latent, on a side. */
  vaeScaleFactor: number;
  /** Latents of a tile of the VAE on a side, diffusers' `tile_latent_min_size`; a multiple of 4, for a quarter overlaps. */
  vaeTileSize: number;
  /** Width and height that the model was trained for, in pixels. */
  nativeSize: number;
  /** Sides of the pictures that the UNet takes are multiples of this: each level halves the latents. */
  sizeMultiple: number;
  /** Channels of the UNet at the size of the latents. */
  baseChannels: number;
  /** Channels of the VAE's decoder at the size of the picture. */
  decoderChannels: number;
  /** Width of the text states, all encoders together. */
  crossAttentionDim: number;
  /** Width of the pooled text state. */
  pooledDim: number;
  /** Latents of the VAE are `latents * scale[channel] + shift[channel]`. */
  decodeScale: readonly number[];
  decodeShift: readonly number[];
  /** The parsed `scheduler/scheduler_config.json`. */
  scheduler: unknown;
}

/**
 * Reads `model_index.json` and the configs of UNet, ControlNet, VAE and scheduler below `folder`.
 * @throws ServiceError INTERNAL naming file and field when one is missing, wrong or not supported.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  // First and alone: it is what a folder that holds no model is told about.
  const index = await readConfig(folder, "model_index.json", ModelIndex);
  const [unet, vae, , scheduler] = await Promise.all([
    readConfig(folder, "unet/config.json", UNetConfig),
    readConfig(folder, "vae/config.json", VaeConfig),
    readConfig(folder, "controlnet/config.json", ControlNetConfig),
    readConfig(folder, "scheduler/scheduler_config.json", z.looseObject({})),
  ]);
  if (unet.in_channels !== vae.latent_channels)
    throw new ServiceError("INTERNAL", `the UNet takes ${unet.in_channels} channels, the VAE ${vae.latent_channels}`);
  const pooledDim = unet.projection_class_embeddings_input_dim - 6 * unet.addition_time_embed_dim;
  if (pooledDim <= 0)
    throw new ServiceError("INTERNAL", "unet/config.json: projection_class_embeddings_input_dim leaves no pooled text");
  const vaeScaleFactor = 2 ** (vae.block_out_channels.length - 1);
  const sampleSize = typeof unet.sample_size === "number" ? unet.sample_size : Math.max(...unet.sample_size);
  const channels = Array.from({ length: vae.latent_channels }, (_, channel) => channel);
  return {
    name: index._name_or_path ?? basename(resolve(folder)),
    forceZerosForEmptyPrompt: index.force_zeros_for_empty_prompt,
    latentChannels: vae.latent_channels,
    vaeScaleFactor,
    vaeTileSize: Math.max(1, Math.floor(vae.sample_size / vaeScaleFactor / 4)) * 4,
    nativeSize: sampleSize * vaeScaleFactor,
    sizeMultiple: vaeScaleFactor * 2 ** (unet.block_out_channels.length - 1),
    baseChannels: unet.block_out_channels[0]!,
    decoderChannels: vae.block_out_channels[0]!,
    crossAttentionDim:
      typeof unet.cross_attention_dim === "number" ? unet.cross_attention_dim : unet.cross_attention_dim[0]!,
    pooledDim,
    decodeScale: channels.map((channel) => (vae.latents_std?.[channel] ?? 1) / vae.scaling_factor),
    decodeShift: channels.map((channel) => vae.latents_mean?.[channel] ?? 0),
    scheduler,
  };
}

/** What Python writes into JSON though JSON has it not: DPM-Solver's `lambda_min_clipped` is -Infinity. */
const NO_NUMBER = /(:\s*)(?:-?Infinity|NaN)\b/g;

async function readConfig<S extends z.ZodType>(folder: string, file: string, schema: S): Promise<z.output<S>> {
  let json: unknown;
  try {
    json = JSON.parse((await readFile(join(folder, file), "utf8")).replace(NO_NUMBER, "$1null"));
  } catch (error) {
    throw new ServiceError("INTERNAL", `${join(folder, file)} can't be read: ${String(error)}`, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ServiceError("INTERNAL", `${file} isn't supported: ${faults.join("; ")}`);
}
