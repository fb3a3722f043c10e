import { readFile } from "node:fs/promises";
import { faultLine } from "#shared/config/faults.ts";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import { changeLine, diffPlans } from "../plan/diff.ts";
import { readPlanText } from "../plan/plan-file.ts";
import { type PlanOptions, planOf } from "./plan-options.ts";
import { planText } from "./plan-text.ts";

/** `tandem plan`: the plan on standard output, what its author should know on standard error. */
export async function showPlan(
  project: string | undefined,
  options: PlanOptions & { diff?: string | true; json?: boolean },
): Promise<void> {
  const { diff, json, ...asked } = options;
  const { plan, warnings } = await planOf(project, asked);
  for (const warning of warnings) console.error(faultLine(warning));
  if (diff === undefined) {
    console.log(json ? JSON.stringify(plan, null, 2) : planText(plan));
    return;
  }
  const before = diff === true ? await storedPlan(plan) : readPlanText(await readFile(diff, "utf8"), diff);
  const { name, stage, region } = plan;
  if (!before) console.error(`${name} is not deployed at stage ${stage} in ${region} yet: all of it would be made`);
  const changes = diffPlans(before, plan);
  if (json) console.log(JSON.stringify(changes, null, 2));
  else console.log(changes.length === 0 ? "nothing would change" : changes.map(changeLine).join("\n"));
}

/**
 * The plan that the stage was deployed with, from the deployment's store; undefined where nothing was deployed yet.
 * @throws Error where the account cannot be asked, with what can be done without it.
 */
async function storedPlan({ name, stage, region }: DeploymentPlan): Promise<DeploymentPlan | undefined> {
  const { openAccount } = await import("../deployments/account.ts");
  await using account = await openAccount(region);
  try {
    const known = await account.registry.get(name, stage);
    return known && (await account.plan(known));
  } catch (cause) {
    const hint = '--diff FILE compares with what "tandem plan --json" wrote';
    throw new Error(`the plan that ${name} was deployed with cannot be read: ${(cause as Error).message}; ${hint}`, {
      cause,
    });
  }
}
