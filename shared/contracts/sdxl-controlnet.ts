import * as z from "zod/mini";
import { IMAGE_FORMATS } from "../codec/image.ts";
import { image, ndarray } from "../codec/mini-schemas.ts";
import { api, service } from "../service/contract.ts";

/** Samplers by diffusers' class names, and by the short names of the user interfaces. */
export const SCHEDULERS = [
  "EulerDiscreteScheduler",
  "EulerAncestralDiscreteScheduler",
  "DPMSolverMultistepScheduler",
  "LCMScheduler",
  "euler",
  "euler_a",
  "dpm++_2m",
  "dpm++_2m_karras",
  "lcm",
] as const;
export type SchedulerName = (typeof SCHEDULERS)[number];

/** Most pictures of a call. */
export const MAX_IMAGES_PER_PROMPT = 16;

const text = z.string().check(z.maxLength(10_000));
/** 0..1 */
const part = z.number().check(z.minimum(0), z.maximum(1));
const pixels = z.optional(z.int().check(z.minimum(1), z.maximum(4096)));
/** A number of pictures; 1 when left out. */
export const pictureCount = z._default(z.int().check(z.minimum(1), z.maximum(MAX_IMAGES_PER_PROMPT)), 1);

/** Parameters of a generation, named and defaulted as in diffusers' `StableDiffusionXLControlNetPipeline`; the scale's default is BentoML's example's. */
export const generationParameters = {
  /** Text; what is over 77 tokens has no effect, and the caller is warned. Parentheses and weights are plain text, as in diffusers. */
  prompt: text,
  /** null: no negative prompt at all; "": the empty text. */
  negative_prompt: z._default(z.nullable(text), null),
  controlnet_conditioning_scale: z._default(z.number().check(z.minimum(0), z.maximum(2)), 0.5),
  /** Part of the steps, 0..1, after which the edges begin to count. */
  control_guidance_start: z._default(part, 0),
  /** Part of the steps, 0..1, up to which the edges count; above the start. */
  control_guidance_end: z._default(part, 1),
  /** The model's own when left out. */
  scheduler: z.optional(z.enum(SCHEDULERS, { error: `give one of ${SCHEDULERS.join(", ")}` })),
  num_inference_steps: z._default(z.int().check(z.minimum(1), z.maximum(1000)), 25),
  /** Up to 1 switches classifier-free guidance off. */
  guidance_scale: z._default(z.number().check(z.minimum(0), z.maximum(50)), 5),
  /**
   * The same seed gives the same picture, the one that diffusers gives with `torch.Generator().manual_seed(seed)`; its
   * lowest 32 bits count. Drawn at random when left out.
   */
  seed: z.optional(z.int().check(z.minimum(0))),
  /** Pixels of the result. */
  width: pixels,
  height: pixels,
  /** 1 to 100, for JPEG (90 when left out), WebP (80) and AVIF (60); PNG and GIF ignore it. */
  output_quality: z.optional(z.int().check(z.minimum(1), z.maximum(100))),
};

/** Of any object with {@link generationParameters}. */
export const guidanceEndsAfterStart = z.refine<{ control_guidance_start: number; control_guidance_end: number }>(
  (given) => given.control_guidance_start < given.control_guidance_end,
  { path: ["control_guidance_end"], error: "must be above control_guidance_start" },
);

/** What there is to say of a call's pictures. */
export const generationReport = {
  /** The seed that was given or drawn. */
  seed: z.int(),
  /** diffusers' words about what was left out of the prompts. */
  warnings: z.array(z.string()),
};

/** The GPU service: edges and a prompt in, pictures out. */
export const SDXLControlNetService = service("SDXLControlNetService", {
  description: "Stable Diffusion XL with a Canny ControlNet",
  // As many as share a run of the model at most; a worker that has no use for so many takes fewer.
  traffic: { timeout: 600, concurrency: 8 },
  workers: 1,
  resources: { gpu: 1, gpuType: "nvidia-l4" },
  apis: {
    generate: api({
      description: "Makes pictures that follow the edges of `arr` and the words of `prompt`",
      idempotent: true,
      input: z
        .strictObject({
          ...generationParameters,
          /** Edges, 0 or 255, three equal channels. The model works at this size; `width` and `height` scale its result. */
          arr: ndarray("uint8", ["h", "w", 3], { wire: "bilevel" }),
          output_format: z._default(z.enum(IMAGE_FORMATS), "png"),
          /** Each of noise of its own. */
          num_images_per_prompt: pictureCount,
        })
        .check(guidanceEndsAfterStart),
      /** A pipeline that BentoML serves gives the pictures alone. */
      output: z.tuple([z.array(image()), z.optional(z.object(generationReport))]),
    }),
    info: api({
      description: "The sizes that the loaded model works at",
      idempotent: true,
      input: z.strictObject({}),
      output: z.object({
        model: z.string(),
        /** Side of the square picture that the model was trained at, in pixels. */
        native_size: z.int(),
        /** Sides are multiples of this many pixels. */
        size_multiple: z.int(),
        /** Most pixels of a call's pictures together. */
        max_pixels: z.int(),
        execution_provider: z.string(),
      }),
    }),
  },
});
