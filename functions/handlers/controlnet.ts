/** The entry as a Lambda function. It runs in functions alone: where the GPU service is, `TANDEM_SERVICES` says. */
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { deployable } from "#shared/index.ts";
import { lambdaHandler } from "#shared/lambda/handler.ts";

export const handler = lambdaHandler(deployable(ControlNet, () => import("../services/controlnet.ts")));
