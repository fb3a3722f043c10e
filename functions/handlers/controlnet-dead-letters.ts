/** Answers what was given up in the entry's queue: the event source is its dead-letter queue. */
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { deadLetterHandler } from "#shared/lambda/dead-letter-handler.ts";

export const handler = deadLetterHandler(ControlNet);
