/** Deploys projects and asks what is deployed, as BentoML's `bentoml.deployment` does. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import type { PlanFlags } from "../plan/flags.ts";
import { type LoadedPlan, loadPlan } from "../plan/load-plan.ts";
import { openAccount } from "./account.ts";
import type { DeploymentStatus } from "./deployment-status.ts";
import type { KnownDeployment } from "./registry.ts";
import { mergeConfig, readSource, type Source } from "./source.ts";
import { runSst } from "./sst.ts";

/** Where a deployment is looked for, and how it is named there. */
export interface Place {
  /** Default `dev`. */
  readonly stage?: string | undefined;
  /** AWS region; by default what the SDK finds: `AWS_REGION`, the profile. */
  readonly region?: string | undefined;
}

/** How SST is run. */
export interface RunOptions {
  /** Seconds that it may take. Default 3600, as BentoML's. */
  readonly timeout?: number | undefined;
  /** Whether SST's own lines go to standard error. */
  readonly quiet?: boolean | undefined;
  /** SST's program; by default the installed one. */
  readonly program?: string | undefined;
}

export interface CreateOptions extends Place, RunOptions {
  /** Folder of the project. By default the config file's `bento`, or the current folder. */
  readonly bento?: string | undefined;
  /** By default config-file.yaml in the project, where it has one. */
  readonly configFile?: string | undefined;
  readonly flags?: PlanFlags | undefined;
}

/** What SST made of a plan: its outputs, the entry's URL and the store among them. */
export interface Deployed {
  readonly plan: DeploymentPlan;
  readonly outputs: Readonly<Record<string, unknown>>;
}

const DEFAULT_STAGE = "dev";
const DEFAULT_TIMEOUT = 3600;

/**
 * Plans a project and has SST bring its stage to the plan.
 * @throws ConfigError with every fault of the project's files; Error where SST fails.
 */
async function create(options: CreateOptions = {}): Promise<Deployed> {
  const { bento, configFile, stage = DEFAULT_STAGE, region, flags } = options;
  const loaded = await loadPlan({ project: bento, configFile, stage, region, flags });
  return deployPlan(loaded, await readSource(loaded.folder, configFile, flags), options);
}

/**
 * Brings a stage to a plan that has been made.
 * @param source what it was made from; `update` begins with it.
 * @throws Error where SST fails.
 */
export async function deployPlan(loaded: LoadedPlan, source: Source, options: RunOptions = {}): Promise<Deployed> {
  const { plan, folder } = loaded;
  const work = join(folder, ".tandem", "deployments", `${plan.name}-${plan.stage}`);
  await mkdir(work, { recursive: true });
  const files = { TANDEM_PLAN: join(work, "plan.json"), TANDEM_SOURCE: join(work, "source.json") };
  await writeFile(files.TANDEM_PLAN, JSON.stringify(plan));
  await writeFile(files.TANDEM_SOURCE, JSON.stringify(source));
  const environment = { ...files, TANDEM_NAME: plan.name, TANDEM_REGION: plan.region };
  const { timeout = DEFAULT_TIMEOUT, ...run } = options;
  await runSst({ ...run, folder, command: ["deploy"], stage: plan.stage, environment, timeout });
  const outputs = JSON.parse(await readFile(join(folder, ".sst", "outputs.json"), "utf8")) as Deployed["outputs"];
  return { plan, outputs };
}

/** Every deployment in a region, of all stages. */
async function list(place: Pick<Place, "region"> = {}): Promise<KnownDeployment[]> {
  await using account = await openAccount(place.region);
  return account.registry.list();
}

/**
 * What was deployed under a name, and how it is.
 * @throws Error where nothing was.
 */
async function get(name: string, place: Place = {}): Promise<DeploymentStatus> {
  await using account = await openAccount(place.region);
  return account.status(await account.find(name, place.stage ?? DEFAULT_STAGE));
}

/**
 * Deploys again with changes: what a config file has is merged into what was deployed (mappings merged, lists replaced, as
 * BentoML's `update` does), and flags over it.
 * @throws Error where nothing was deployed under that name; as `create` besides.
 */
async function update(name: string, options: CreateOptions = {}): Promise<Deployed> {
  const { stage = DEFAULT_STAGE, region, bento, configFile, flags } = options;
  await using account = await openAccount(region);
  const known = await account.find(name, stage);
  const merged = mergeConfig(await account.source(known), await readSource(bento ?? ".", configFile, flags, name));
  const folder = bento ?? merged.config.bento ?? ".";
  const work = join(String(folder), ".tandem", "deployments", `${name}-${stage}`);
  await mkdir(work, { recursive: true });
  // JSON is YAML: faults name this file.
  const file = join(work, "config-file.yaml");
  await writeFile(file, `${JSON.stringify(merged.config, null, 2)}\n`);
  const loaded = await loadPlan({
    project: String(folder),
    configFile: file,
    stage,
    region: known.region,
    flags: { ...merged.flags, name },
  });
  return deployPlan(loaded, merged, options);
}

/**
 * Removes a deployment; a store that is retained (stage `production`) stays. SST refuses to remove a protected stage.
 * @throws Error where nothing was deployed under that name, or SST fails.
 */
async function terminate(name: string, options: Place & RunOptions & { bento?: string } = {}): Promise<void> {
  const { stage = DEFAULT_STAGE, region, bento = ".", timeout = DEFAULT_TIMEOUT, ...run } = options;
  await using account = await openAccount(region);
  const known = await account.find(name, stage);
  const environment = { TANDEM_NAME: name, TANDEM_REGION: known.region };
  await runSst({ ...run, folder: bento, command: ["remove"], stage, environment, timeout });
}

export const deployment = { create, list, get, update, terminate };
