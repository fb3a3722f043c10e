import * as z from "zod/mini";
import { image } from "../codec/mini-schemas.ts";
import { api, service } from "../service/contract.ts";
import { generationParameters, SDXLControlNetService } from "./sdxl-controlnet.ts";

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
      input: z.strictObject({ image: image(), params: z.strictObject(generationParameters) }),
      output: image(),
    }),
    edges: api({
      description: "The edge map alone, a one-channel PNG of the picture's own size",
      idempotent: true,
      input: z.strictObject({
        image: image(),
        /** Hysteresis thresholds of the Canny detector. */
        low: z._default(z.number(), 100),
        high: z._default(z.number(), 200),
      }),
      output: image(),
    }),
  },
});
