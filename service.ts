/** What this project deploys: each service's contract and where its implementation is. bentofile.yaml names the entry. */
import { ControlNet as controlNet } from "#shared/contracts/controlnet.ts";
import { SDXLControlNetService as sdxlControlNet } from "#shared/contracts/sdxl-controlnet.ts";
import { deployable } from "#shared/index.ts";

export const SDXLControlNetService = deployable(
  sdxlControlNet,
  () => import("#gpu-worker/services/sdxl-controlnet.ts"),
);
export const ControlNet = deployable(controlNet, () => import("#functions/services/controlnet.ts"));
