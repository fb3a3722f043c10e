import { existsSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import type { ConfigFile } from "#shared/config/config-file.ts";
import { secretVariable } from "#shared/config/environment.ts";
import { ConfigError, type Fault } from "#shared/config/faults.ts";
import { type Loaded, parseConfigFile, readBentofile, readConfigFile } from "#shared/config/load.ts";
import { handlerFiles } from "#shared/serve/handler-files.ts";
import { loadProject } from "#shared/serve/project.ts";
import { dependencyOrder, type Service } from "#shared/service/contract.ts";
import { bentofileNotes } from "./bentofile-notes.ts";
import { namesGiven, type PlanFlags, withFlags } from "./flags.ts";
import { checkStage } from "./names.ts";
import { type Planned, planDeployment } from "./plan.ts";
import type { PlannedProject } from "./service-plans.ts";
import { versionConfig } from "./version-config.ts";

export interface LoadPlanOptions {
  /** Folder with bentofile.yaml; by default the one that config-file.yaml names as `bento`, or the current one. */
  readonly project?: string | undefined;
  /** By default config-file.yaml in the project, where it has one. */
  readonly configFile?: string | undefined;
  readonly stage: string;
  /** By default config-file.yaml's `cluster`, `AWS_REGION`, `AWS_DEFAULT_REGION` or us-east-1. */
  readonly region?: string | undefined;
  readonly flags?: PlanFlags | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/** A plan, and the project that it is of. */
export interface LoadedPlan extends Planned {
  readonly folder: string;
}

const DEFAULT_REGION = "us-east-1";

/**
 * Reads a project and its config file and plans its deployment.
 * @throws ConfigError with every fault of both files and of the plan; FlagError for a flag that cannot be used;
 * StageError for a stage that SST does not take; Error for what else is missing.
 */
export async function loadPlan(options: LoadPlanOptions): Promise<LoadedPlan> {
  const { flags = {}, env = process.env } = options;
  const stage = checkStage(options.stage);
  const folder = options.project ?? (await folderIn(options.configFile));
  const project = await loadProject(folder);
  const bentofile = await readBentofile(join(folder, "bentofile.yaml"));
  const services = deployedServices(project);
  const names = services.map(({ name }) => name);
  const given = namesGiven(flags, names);
  const file = await readConfig(options.configFile, folder, {
    services: project.services.map(({ name }) => name),
    wanted: bentofile.wanted.filter((name) => !given.includes(name)),
  });
  const config = withFlags(file.config, flags, names);
  const { region, said } = regionOf(file, options.region, env);
  const versions = await versionProjects(folder, { config, fault: file.fault });
  const known = [
    ...[...bentofile.warnings, ...bentofileNotes(bentofile), ...file.warnings, ...said],
    ...Object.values(versions).flatMap((version) => version.warnings),
  ];
  try {
    const { plan, warnings } = planDeployment({
      services,
      bentofile: bentofile.config,
      configFile: { config, fault: file.fault },
      stage,
      region,
      handlers: (service) => handlerFiles(folder, service),
      versions,
    });
    return { folder, plan, warnings: [...known, ...warnings] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError([...known, ...error.faults]);
  }
}

interface VersionProject extends PlannedProject {
  readonly warnings: readonly Fault[];
}

/**
 * Projects of canary versions with a folder of their own, by label. It is in the main project's folder: SST bundles what is
 * below it.
 */
async function versionProjects(
  folder: string,
  { config, fault }: Pick<Loaded<ConfigFile>, "config" | "fault">,
): Promise<Record<string, VersionProject>> {
  const projects: Record<string, VersionProject> = {};
  for (const [label, version] of Object.entries(config.canary?.versions ?? {})) {
    const { bento } = version;
    if (bento === undefined) continue;
    const below = relative(folder, resolve(folder, bento));
    const refuse = (message: string, hint: string): ConfigError =>
      new ConfigError([fault(["canary", "versions", label, "bento"], message, { hint })]);
    if (below === "") throw refuse("is the main version's own folder", "leave it out");
    if (isAbsolute(below) || below.startsWith(".."))
      throw refuse("is not below the main version's folder", "put the version's project there, as in bento: ./next");
    if (!existsSync(join(folder, below, "bentofile.yaml")))
      throw refuse(`${join(below, "bentofile.yaml")} is missing`, "name the folder of a project");
    const project = await loadProject(join(folder, below));
    const bentofile = await readBentofile(join(folder, below, "bentofile.yaml"));
    const { envs = [], secrets = [] } = versionConfig(config, version);
    const given = [...envs.map(({ name }) => name), ...secrets.map(secretVariable)];
    const missing = bentofile.wanted.filter((name) => !given.includes(name));
    if (missing.length > 0)
      throw refuse(`its bentofile.yaml wants ${missing.join(", ")}`, "give it in the version's envs, or as a secret");
    projects[label] = {
      warnings: [...bentofile.warnings, ...bentofileNotes(bentofile)],
      services: deployedServices(project),
      bentofile: bentofile.config,
      handlers: (service) =>
        Object.fromEntries(
          Object.entries(handlerFiles(join(folder, below), service)).map(([kind, file]) => [kind, join(below, file)]),
        ),
    };
  }
  return projects;
}

/** What the entry reaches and the project exports. */
function deployedServices(project: Awaited<ReturnType<typeof loadProject>>): Service[] {
  const exported = new Set(project.services.map(({ name }) => name));
  return dependencyOrder(project.entry.service).filter(({ name }) => exported.has(name));
}

async function readConfig(
  path: string | undefined,
  folder: string,
  facts: { services: string[]; wanted: string[] },
): Promise<Loaded<ConfigFile>> {
  const file = path ?? join(folder, "config-file.yaml");
  if (path !== undefined || existsSync(file)) return readConfigFile(file, facts);
  return { ...parseConfigFile("{}", "config-file.yaml", facts), warnings: [] };
}

/** The folder that a config file names; its faults are told of when it is read whole. */
async function folderIn(configFile: string | undefined): Promise<string> {
  if (configFile === undefined) return ".";
  try {
    return (await readConfigFile(configFile)).config.bento ?? ".";
  } catch (error) {
    if (error instanceof ConfigError) return ".";
    throw error;
  }
}

function regionOf(
  { config, fault }: Loaded<ConfigFile>,
  asked: string | undefined,
  env: NodeJS.ProcessEnv,
): { region: string; said: Fault[] } {
  const named =
    config.cluster !== undefined && /^[a-z]{2}(-[a-z]+)+-\d$/.test(config.cluster) ? config.cluster : undefined;
  const region = asked ?? named ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION);
  const warn = (message: string, hint: string): Fault[] => [fault(["cluster"], message, { severity: "warning", hint })];
  if (region === undefined)
    return {
      region: DEFAULT_REGION,
      said: warn(
        `no region is named: this is a plan for ${DEFAULT_REGION}`,
        "write one, as in cluster: eu-central-1, or set AWS_REGION",
      ),
    };
  if (named !== undefined && named !== region)
    return { region, said: warn(`has no effect: the region asked for is ${region}`, "leave one of the two out") };
  return { region, said: [] };
}
