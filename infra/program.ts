/// <reference path="../.sst/platform/config.d.ts" />
import { deploy } from "./deploy.ts";
import { readPlan } from "./read-plan.ts";

const OLDEST_NODE = 24;

/** What SST runs: plans the project in the folder of sst.config.ts and spells the plan. */
export async function program(): Promise<Record<string, $util.Input<string>>> {
  if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE)
    throw new Error(
      `Tandem needs Node ${OLDEST_NODE}, and this is ${process.version}: run "npx sst deploy" in the project`,
    );
  const { root } = $cli.paths;
  return deploy(await readPlan(root, $app.stage, $app.providers?.aws.region));
}
