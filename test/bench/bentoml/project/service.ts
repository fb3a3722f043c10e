/** The real entry in front of a model that gives its edges back as the picture, so that only the framework is measured. */
import { ControlNet as controlNet } from "#shared/contracts/controlnet.ts";
import { SDXLControlNetService as sdxlControlNet } from "#shared/contracts/sdxl-controlnet.ts";
import { deployable } from "#shared/index.ts";

export const SDXLControlNetService = deployable(sdxlControlNet, () => import("./edges-as-picture.ts"));
export const ControlNet = deployable(controlNet, () => import("#functions/services/controlnet.ts"));
