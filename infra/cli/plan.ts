import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { faultLine } from "#shared/config/faults.ts";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import { changeLine, diffPlans } from "../plan/diff.ts";
import { FileStoredPlans, readPlanText } from "../plan/stored-plans.ts";
import { type PlanOptions, planOf } from "./plan-options.ts";
import { planText } from "./plan-text.ts";

/** `tandem plan`: the plan on standard output, what its author should know on standard error. */
export async function showPlan(
  project: string | undefined,
  options: PlanOptions & { diff?: string | true; json?: boolean },
): Promise<void> {
  const { diff, json, ...asked } = options;
  const { plan, warnings, folder } = await planOf(project, asked);
  for (const warning of warnings) console.error(faultLine(warning));
  if (diff === undefined) {
    console.log(json ? JSON.stringify(plan, null, 2) : planText(plan));
    return;
  }
  const before = diff === true ? await storedPlan(folder, plan) : readPlanText(await readFile(diff, "utf8"), diff);
  if (!before)
    throw new Error(`no plan of ${plan.name} is stored for stage ${plan.stage}: name one, as in --diff plan.json`);
  const changes = diffPlans(before, plan);
  if (json) console.log(JSON.stringify(changes, null, 2));
  else console.log(changes.length === 0 ? "nothing would change" : changes.map(changeLine).join("\n"));
}

/** The plan that the stage was deployed with. */
function storedPlan(folder: string, { name, stage }: DeploymentPlan): Promise<DeploymentPlan | undefined> {
  return new FileStoredPlans(join(folder, ".tandem", "plans")).read(name, stage);
}
