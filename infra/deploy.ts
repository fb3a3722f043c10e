/// <reference path="../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "./plan/deployment-plan.ts";
import { createStore } from "./resources/store.ts";

/** Spells a plan as resources. What SST shows and keeps as the stage's outputs is what it returns. */
export function deploy(plan: DeploymentPlan): Record<string, $util.Input<string>> {
  const store = createStore(plan);
  return { store: $interpolate`s3://${store.name}` };
}
