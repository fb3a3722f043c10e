/** Answers what was given up in the GPU service's queue: the event source is its dead-letter queue. */
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { deadLetterHandler } from "#shared/lambda/dead-letter-handler.ts";

export const handler = deadLetterHandler(SDXLControlNetService);
