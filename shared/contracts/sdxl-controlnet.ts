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

/** Parameters of a generation, named and defaulted as in diffusers' `StableDiffusionXLControlNetPipeline`; the scale's default is BentoML's example's. */
export const generationParameters = {
  prompt: z.string().check(z.maxLength(10_000)),
  /** null: no negative prompt at all; "": the empty text. */
  negative_prompt: z._default(z.nullable(z.string().check(z.maxLength(10_000))), null),
  controlnet_conditioning_scale: z._default(z.number().check(z.minimum(0), z.maximum(2)), 0.5),
  num_inference_steps: z._default(z.int().check(z.minimum(1), z.maximum(1000)), 25),
  /** Up to 1 switches classifier-free guidance off. */
  guidance_scale: z._default(z.number().check(z.minimum(0), z.maximum(50)), 5),
  /** The same seed gives the same picture; drawn at random when left out. */
  seed: z.optional(z.int().check(z.minimum(0))),
  /** Pixels of the result. */
  width: z.optional(z.int().check(z.minimum(1), z.maximum(4096))),
  height: z.optional(z.int().check(z.minimum(1), z.maximum(4096))),
};

/** The GPU service: edges and a prompt in, pictures out. */
export const SDXLControlNetService = service("SDXLControlNetService", {
  description: "Stable Diffusion XL with a Canny ControlNet",
  // One in work and the next one at hand, so that the GPU does not wait for the queue.
  traffic: { timeout: 600, concurrency: 2 },
  workers: 1,
  resources: { gpu: 1, gpuType: "nvidia-l4" },
  apis: {
    generate: api({
      description: "Makes a picture that follows the edges of `arr` and the words of `prompt`",
      idempotent: true,
      input: z.strictObject({
        ...generationParameters,
        /** Edges, 0 or 255, three equal channels. The model works at this size; `width` and `height` scale its result. */
        arr: ndarray("uint8", ["h", "w", 3], { wire: "bilevel" }),
        output_format: z._default(z.enum(IMAGE_FORMATS), "png"),
      }),
      output: z.tuple([z.array(image())]),
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
        /** Most pixels of a picture. */
        max_pixels: z.int(),
        execution_provider: z.string(),
      }),
    }),
  },
});
