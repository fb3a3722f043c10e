import { type Command, InvalidArgumentError } from "commander";
import type { PlanFlags } from "../plan/flags.ts";
import type { LoadedPlan } from "../plan/load-plan.ts";

/** Options of every command that makes a plan. */
export interface PlanOptions {
  configFile?: string;
  stage: string;
  region?: string;
  name?: string;
  scalingMin?: string[];
  scalingMax?: string[];
  instanceType?: string[];
  env?: string[];
}

const SERVICE = "the entry's; SERVICE=value is another's";

/** Adds them, with BentoML's names where it has one. */
export function addPlanOptions(command: Command): Command {
  return addFlagOptions(
    command
      .option("-f, --config-file <file>", "deployment's config (default: config-file.yaml in the project)")
      .option("--stage <stage>", "1 to 30 letters, digits and hyphens; production keeps its data", "dev")
      .option("--region <region>", "AWS region (default: the config file's cluster, or AWS_REGION)")
      .option("-n, --name <name>", "name of the deployment, instead of the config file's"),
  );
}

/** Adds those that go over a config file. */
export function addFlagOptions(command: Command): Command {
  const gather = (value: string, before: string[] = []): string[] => [...before, value];
  return command
    .option("--scaling-min <n>", `min_replicas, ${SERVICE}; may be repeated`, gather)
    .option("--scaling-max <n>", `max_replicas, ${SERVICE}; may be repeated`, gather)
    .option("--instance-type <type>", `instance_type, ${SERVICE}; may be repeated`, gather)
    .option("--env <name=value>", "variable of every service; SERVICE=name=value of one; may be repeated", gather);
}

/** What the options say instead of config-file.yaml. */
export function flagsOf({ name, scalingMin, scalingMax, instanceType, env }: PlanOptions): PlanFlags {
  return { name, scalingMin, scalingMax, instanceType, env };
}

/** The plan that the options ask for. */
export async function planOf(project: string | undefined, options: PlanOptions): Promise<LoadedPlan> {
  const { loadPlan } = await import("../plan/load-plan.ts");
  const { configFile, stage, region } = options;
  return usageChecked(() => loadPlan({ project, configFile, stage, region, flags: flagsOf(options) }));
}

/** Runs something that makes a plan; options that cannot be used are errors of usage. */
export async function usageChecked<T>(planning: () => Promise<T>): Promise<T> {
  const { FlagError } = await import("../plan/flags.ts");
  const { StageError } = await import("../plan/names.ts");
  try {
    return await planning();
  } catch (error) {
    throw error instanceof FlagError || error instanceof StageError ? new InvalidArgumentError(error.message) : error;
  }
}
