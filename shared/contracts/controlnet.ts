import * as z from "zod/mini";
import { image } from "../codec/mini-schemas.ts";
import { api, service } from "../service/contract.ts";
import {
  generationParameters,
  generationReport,
  guidanceEndsAfterStart,
  pictureCount,
  SDXLControlNetService,
} from "./sdxl-controlnet.ts";

/** Hysteresis thresholds of the Canny detector. */
const thresholds = { low: z._default(z.number(), 100), high: z._default(z.number(), 200) };

const parameters = <Count extends z.ZodMiniType<number, number | undefined>>(count: Count) =>
  z
    .strictObject({
      ...generationParameters,
      /** By the `Accept` header when left out, else PNG. */
      output_format: z.optional(z.enum(["png", "webp", "jpeg"], { error: "give one of png, webp, jpeg" })),
      num_images_per_prompt: count,
    })
    .check(guidanceEndsAfterStart);

/** The entry: a picture in, a picture with the same edges out. */
export const ControlNet = service("ControlNet", {
  description: "Draws a new picture along the edges of yours",
  // Enough to keep the GPU service busy; more would wait there, where nobody can tell how long.
  traffic: { timeout: 600, concurrency: 16 },
  workers: 8,
  resources: { cpu: 1 },
  dependencies: [SDXLControlNetService],
  apis: {
    generate: api({
      description: "Finds the picture's edges and makes a new picture that follows them and the prompt",
      idempotent: true,
      input: z.strictObject({
        image: image(),
        params: parameters(
          z._default(z.literal(1, { error: "must be 1: generate answers one picture, generate_images several" }), 1),
        ),
        ...thresholds,
      }),
      output: image(),
    }),
    generate_images: api({
      description: "As generate, several pictures at once, with the seed and what there is to warn of",
      idempotent: true,
      input: z.strictObject({
        image: image(),
        params: parameters(pictureCount),
        ...thresholds,
      }),
      output: z.object({
        images: z.array(image()),
        seed: z.optional(generationReport.seed),
        warnings: generationReport.warnings,
      }),
    }),
    edges: api({
      description: "The edge map alone, a one-channel PNG of the picture's own size",
      idempotent: true,
      input: z.strictObject({ image: image(), ...thresholds }),
      output: image(),
    }),
  },
});
