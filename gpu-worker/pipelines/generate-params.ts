import { randomInt } from "node:crypto";
import type { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { type ControlImage, controlImage } from "./image-processor.ts";
import type { ModelConfig } from "./model-config.ts";

/** What {@link SDXLControlNetPipeline.generate} takes. */
export interface GenerateParams {
  prompt: string;
  /** What the picture shall not be. Null or absent differs from "": see `force_zeros_for_empty_prompt`. */
  negativePrompt?: string | null | undefined;
  /** Control picture, uint8 [h, w, 3] or [h, w]. Any size: it is padded with 0 as the model needs, the result cropped. */
  image: NDArray;
  /** Weight of the control picture, 0 = none; default 0.5. */
  controlnetConditioningScale?: number | undefined;
  /** Part of the steps, 0..1, after which the control picture begins to count; default 0. */
  controlGuidanceStart?: number | undefined;
  /** Part of the steps, 0..1, up to which the control picture counts; default 1. */
  controlGuidanceEnd?: number | undefined;
  /** diffusers' class name or a short one, as `SCHEDULERS` of the contract lists them; default: the model's own. */
  scheduler?: string | undefined;
  /** Default 25. */
  numInferenceSteps?: number | undefined;
  /** Weight of the prompt against the negative prompt; 1 and less run without guidance, in half the time. Default 5. */
  guidanceScale?: number | undefined;
  /** Pictures to draw, each from noise of its own; default 1. They count together for the limit of pixels. */
  numImagesPerPrompt?: number | undefined;
  /**
   * Whole number from 0 to 2^53 - 1: the noise is that of `torch.Generator().manual_seed(seed)`, which looks at the lowest
   * 32 bits. The same seed gives the same picture. Drawn by chance when absent.
   */
  seed?: number | null | undefined;
  /** Width and height of the picture: the control picture's, and an error when they say anything else. */
  width?: number | undefined;
  height?: number | undefined;
  /**
   * Unit normal noise to start from in place of the seed's, [pictures, channels, h, w] of the padded size divided by the
   * VAE's factor.
   */
  latents?: Float32Array | undefined;
}

export interface StepTimings {
  /** Milliseconds of the whole step. */
  stepMs: number;
  /** Milliseconds of it inside the graph. */
  runMs: number;
}

export interface RunHooks {
  /** Called after each step, counted from 1. */
  onStep?: (step: number, total: number, timings: StepTimings) => void;
  /** Asked before each step and before decoding: true ends the run with CANCELED. */
  shouldAbort?: () => boolean;
}

export interface GeneratedImages {
  /** RGB, [height, width, 3], as many as `numImagesPerPrompt`. */
  images: NDArray<"uint8">[];
  /** The seed that was used or drawn. */
  seed: number;
  /** Tokens of the prompts that did not fit into the text encoders and had no effect. */
  droppedTokens: { prompt: number; negativePrompt: number };
  /** diffusers' words about what was left out of the prompts. They say the prompt's text: not for a log. */
  warnings: string[];
  /** Milliseconds: encoding the prompts, denoising, decoding, and how much of the denoising was inside the graph. */
  timings: { encodeMs: number; denoiseMs: number; decodeMs: number; denoiseRunMs: number };
}

/** Parameters with defaults filled in and sizes worked out. */
export interface CheckedParams {
  prompt: string;
  negativePrompt: string | null;
  control: ControlImage;
  controlnetConditioningScale: number;
  controlGuidanceStart: number;
  controlGuidanceEnd: number;
  scheduler: string | undefined;
  numInferenceSteps: number;
  guidanceScale: number;
  guided: boolean;
  pictures: number;
  seed: number;
  latents: Float32Array | undefined;
  /** Padded size in pixels, then in latents. */
  height: number;
  width: number;
  latentHeight: number;
  latentWidth: number;
  /** Numbers in the latents of all pictures. */
  latentSize: number;
}

/** Far more than the 75 tokens that count, and short enough to tokenize at once. */
const MAX_PROMPT_CHARACTERS = 4000;

/**
 * @throws ServiceError INVALID_ARGUMENT naming the parameter, as the api spells it, and what it must be;
 * PAYLOAD_TOO_LARGE when the padded picture has more than `maxPixels`.
 */
export function checkParams(params: GenerateParams, model: ModelConfig, maxPixels: number): CheckedParams {
  const control = controlImage(params.image);
  const shape = `${control.width}x${control.height}`;
  const width = params.width ?? control.width;
  const height = params.height ?? control.height;
  if (width !== control.width || height !== control.height)
    throw invalid(
      width !== control.width ? "width" : "height",
      `width x height is ${width}x${height}, the control image is ${shape}`,
      "leave width and height out or resize the image",
    );
  const padded = (pixels: number): number => Math.ceil(pixels / model.sizeMultiple) * model.sizeMultiple;
  const [paddedHeight, paddedWidth] = [padded(height), padded(width)];
  if (paddedHeight * paddedWidth > maxPixels)
    throw new ServiceError("PAYLOAD_TOO_LARGE", `image is ${shape}; this model takes at most ${maxPixels} pixels`, {
      detail: [{ path: ["image"], message: `must have at most ${maxPixels} pixels` }],
    });
  const pictures = params.numImagesPerPrompt ?? 1;
  const most = Math.floor(maxPixels / (paddedHeight * paddedWidth));
  if (!Number.isInteger(pictures) || pictures < 1 || pictures > most)
    throw invalid(
      "num_images_per_prompt",
      `num_images_per_prompt is ${pictures}, at ${shape} pixels a picture`,
      `give a whole number from 1 to ${most}, or a smaller image for more`,
    );
  const latentHeight = paddedHeight / model.vaeScaleFactor;
  const latentWidth = paddedWidth / model.vaeScaleFactor;
  const latentSize = pictures * model.latentChannels * latentHeight * latentWidth;
  const { latents } = params;
  if (latents && (!(latents instanceof Float32Array) || latents.length !== latentSize))
    throw invalid(
      "latents",
      `latents hold ${latents.length} numbers`,
      `give a Float32Array of ${pictures} x ${model.latentChannels} x ${latentHeight} x ${latentWidth}`,
    );
  const seed = params.seed ?? randomInt(2 ** 32);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw invalid("seed", `seed is ${seed}`, "give a whole number from 0 to 2^53 - 1");
  const [start, end] = [params.controlGuidanceStart ?? 0, params.controlGuidanceEnd ?? 1];
  if (!(start >= 0 && start <= 1))
    throw invalid("control_guidance_start", `control_guidance_start is ${start}`, "give a number from 0 to 1");
  if (!(end <= 1 && end > start))
    throw invalid(
      "control_guidance_end",
      `control_guidance_end is ${end}, control_guidance_start ${start}`,
      "give an end above the start, at most 1",
    );
  const guidanceScale = atLeastZero("guidance_scale", params.guidanceScale ?? 5);
  return {
    prompt: text("prompt", params.prompt),
    negativePrompt: params.negativePrompt == null ? null : text("negative_prompt", params.negativePrompt),
    control,
    controlnetConditioningScale: atLeastZero(
      "controlnet_conditioning_scale",
      params.controlnetConditioningScale ?? 0.5,
    ),
    controlGuidanceStart: start,
    controlGuidanceEnd: end,
    scheduler: params.scheduler,
    numInferenceSteps: params.numInferenceSteps ?? 25,
    guidanceScale,
    guided: guidanceScale > 1,
    pictures,
    seed,
    latents,
    height: paddedHeight,
    width: paddedWidth,
    latentHeight,
    latentWidth,
    latentSize,
  };
}

function text(field: string, value: unknown): string {
  if (typeof value !== "string") throw invalid(field, `${field} is not a string`, "give a string");
  if (value.length > MAX_PROMPT_CHARACTERS)
    throw invalid(field, `${field} has ${value.length} characters`, `give at most ${MAX_PROMPT_CHARACTERS}`);
  return value;
}

function atLeastZero(field: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
    throw invalid(field, `${field} is ${value}`, "give a number from 0 up");
  return value;
}

function invalid(field: string, found: string, fix: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${found}; ${fix}`, { detail: [{ path: [field], message: fix }] });
}
