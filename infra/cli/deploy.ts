import { faultLine } from "#shared/config/faults.ts";
import { type Deployed, deployPlan } from "../deployments/deployment.ts";
import { readSource } from "../deployments/source.ts";
import type { RunOptions } from "./commands.ts";
import { flagsOf, type PlanOptions, planOf } from "./plan-options.ts";
import { planText } from "./plan-text.ts";

/** `tandem deploy`: shows the plan, then has SST make it. */
export async function deploy(project: string | undefined, options: PlanOptions & RunOptions): Promise<void> {
  const { timeout, json, ...asked } = options;
  const loaded = await planOf(project, asked);
  for (const warning of loaded.warnings) console.error(faultLine(warning));
  console.error(`${planText(loaded.plan)}\n`);
  const source = await readSource(loaded.folder, asked.configFile, flagsOf(asked));
  showDeployed(await deployPlan(loaded, source, { timeout, quiet: json }), json);
}

/** What a deployment came to. */
export function showDeployed({ plan, outputs }: Deployed, json: boolean | undefined): void {
  const { name, stage, region } = plan;
  if (json) console.log(JSON.stringify({ name, stage, region, ...outputs }));
  else console.log(`${name} is deployed at stage ${stage}: ${outputs.url}`);
}
