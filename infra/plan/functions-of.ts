import type { FunctionPlan, LambdaPlan } from "./deployment-plan.ts";

/** A service's functions: the one that callers invoke, and the one of its queue. */
export function functionsOf({ function: invoked, queueFunction }: FunctionPlan): LambdaPlan[] {
  return [invoked, queueFunction].filter((plan) => plan !== undefined);
}
