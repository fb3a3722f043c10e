import { type Command, InvalidArgumentError } from "commander";
import type { LoadedPlan } from "../plan/load-plan.ts";

/** Options of every command that makes a plan. */
export interface PlanOptions {
  configFile?: string;
  stage: string;
  region?: string;
  name?: string;
  scalingMin: string[];
  scalingMax: string[];
  instanceType: string[];
  env: string[];
}

const SERVICE = "the entry's; SERVICE=value is another's";

/** Adds them, with BentoML's names where it has one. */
export function addPlanOptions(command: Command): Command {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  return command
    .option("-f, --config-file <file>", "(default: config-file.yaml in the project)")
    .option("--stage <stage>", "1 to 30 letters, digits and hyphens; production keeps its data", "dev")
    .option("--region <region>", "AWS region (default: the config file's cluster, or AWS_REGION)")
    .option("-n, --name <name>", "name of the deployment, instead of the config file's")
    .option("--scaling-min <n>", `min_replicas, ${SERVICE}; may be repeated`, gather, [])
    .option("--scaling-max <n>", `max_replicas, ${SERVICE}; may be repeated`, gather, [])
    .option("--instance-type <type>", `instance_type, ${SERVICE}; may be repeated`, gather, [])
    .option("--env <name=value>", "variable of every service; SERVICE=name=value of one; may be repeated", gather, []);
}

/** The plan that the options ask for. */
export async function planOf(project: string | undefined, options: PlanOptions): Promise<LoadedPlan> {
  const { loadPlan } = await import("../plan/load-plan.ts");
  const { FlagError } = await import("../plan/flags.ts");
  const { checkStage } = await import("../plan/names.ts");
  const { configFile, stage, region, ...flags } = options;
  try {
    checkStage(stage);
    return await loadPlan({ project, configFile, stage, region, flags });
  } catch (error) {
    const isUsage = error instanceof FlagError || (error instanceof TypeError && error.message.startsWith("stage "));
    throw isUsage ? new InvalidArgumentError(error.message) : error;
  }
}
