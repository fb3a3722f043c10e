import type { DeploymentPlan } from "./deployment-plan.ts";

/**
 * A plan from its JSON.
 * @param where it is from, for the message.
 * @throws Error for anything else, a plan of another version included.
 */
export function readPlanText(text: string, where: string): DeploymentPlan {
  let plan: Partial<DeploymentPlan> | null;
  try {
    plan = JSON.parse(text) as Partial<DeploymentPlan> | null;
  } catch (cause) {
    throw new Error(`${where} is no JSON: write it with "tandem plan --json"`, { cause });
  }
  if (plan?.version !== 1 || !Array.isArray(plan.services))
    throw new Error(`${where} is no plan of this version of Tandem: write it with "tandem plan --json"`);
  return plan as DeploymentPlan;
}
