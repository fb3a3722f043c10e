/** The entry's own queue as the event source of a function: its tasks, and its calls with an idempotency key. */
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { deployable } from "#shared/index.ts";
import { sqsHandler } from "#shared/lambda/sqs-handler.ts";

export const handler = sqsHandler(deployable(ControlNet, () => import("../services/controlnet.ts")));
