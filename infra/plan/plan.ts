import type { Bentofile } from "#shared/config/bentofile.ts";
import type { ConfigFile } from "#shared/config/config-file.ts";
import { ConfigError, type Fault } from "#shared/config/faults.ts";
import type { Loaded } from "#shared/config/load.ts";
import type { Service } from "#shared/service/contract.ts";
import { catalogueOf } from "../catalogue/instance-types.ts";
import { alarmsOf, versionAlarms } from "./alarms.ts";
import { canaryPlan, rollbackNames, withRouter } from "./canary.ts";
import { GPU_ZONES } from "./container-plan.ts";
import { costOf } from "./cost.ts";
import type { DeploymentPlan, SecretPlan, ServicePlan } from "./deployment-plan.ts";
import { entryPlan } from "./entry-plan.ts";
import { type Namer, namer } from "./names.ts";
import { networkOf } from "./network.ts";
import { PlanReport } from "./plan-report.ts";
import { quotasOf } from "./quotas.ts";
import { componentName, NameOwners, resourceNames } from "./resource-names.ts";
import { API_KEYS, secretsOf } from "./secrets.ts";
import { type PlannedProject, servicePlans } from "./service-plans.ts";
import { tagsOf } from "./tags.ts";

/** What a plan is made from. */
export interface PlanInput extends PlannedProject {
  readonly configFile: Pick<Loaded<ConfigFile>, "config" | "fault">;
  /** At most 30 letters, digits and hyphens; data of `production` outlives it. */
  readonly stage: string;
  /** AWS region. */
  readonly region: string;
  /** Projects of canary versions that name a folder with `bento`, by label; files are named from the main project's. */
  readonly versions?: Readonly<Record<string, PlannedProject>>;
}

export interface Planned {
  readonly plan: DeploymentPlan;
  /** What the author of config-file.yaml should know, by place in the file. */
  readonly warnings: Fault[];
}

/** Days that logs, and results, uploads and stored payloads, are kept. */
const LOG_DAYS = 14;
const RESULT_DAYS = 1;
const CONTAINER_ZONES = 2;
/** The stage whose data outlives it, as SST's own start has it. */
const PRODUCTION = "production";

/**
 * Decides what is deployed. Nothing is read or asked: the same input gives the same plan.
 * @throws ConfigError with everything that cannot be, each fault at its place in config-file.yaml.
 */
export function planDeployment(input: PlanInput): Planned {
  const { services, bentofile, stage, region, versions = {} } = input;
  const { config, fault } = input.configFile;
  const report = new PlanReport(fault);
  const name = deploymentName(config, bentofile, services);
  const naming = namer(name, stage);
  const catalogue = catalogueOf(config);
  const entry = services.at(-1)!.name;
  const isProtected = config.access_authorization === "bearer";
  const secrets = secretsOf(config, isProtected, report);
  const namesOf = (service: string, names: readonly string[] = []): string[] =>
    secrets.flatMap(({ name }) => (names.includes(name) || (name === API_KEYS && service === entry) ? [name] : []));
  const main = servicePlans({
    project: input,
    config,
    naming,
    report,
    secretsOf: (service) => namesOf(service, config.secrets),
  });
  const front = entryPlan(main.demands, config, main.inVpc, report);
  checkNames(main.plans, ownNames(secrets, config.canary !== undefined, naming), secrets, report);
  const canary = canaryPlan({ config, project: input, versions, main, naming, report, secrets, secretsOf: namesOf });
  const plans = withRouter(main.plans, canary);
  const tags = tagsOf(name, stage, bentofile, config, report);
  if (report.failed) throw new ConfigError(report.faults);
  const beside = canary?.versions.flatMap((version) => version.services) ?? [];
  const network = networkOf(
    [...plans, ...beside],
    main.edges,
    zonesOf([...plans, ...beside], config),
    canary !== undefined,
  );
  const seconds = Object.fromEntries(main.demands.map((demand) => [demand.name, demand.config.aws?.seconds_per_call]));
  const resultDays = config.aws?.result_retention_days ?? RESULT_DAYS;
  const unpriced: Omit<DeploymentPlan, "quotas" | "cost"> = {
    version: 1,
    name,
    stage,
    region,
    description: config.description ?? bentofile.description,
    tags,
    removal: stage === PRODUCTION ? "retain" : "remove",
    entry: front,
    services: plans,
    edges: main.edges,
    network,
    store: { retentionDays: resultDays },
    secrets,
    alarms: [...alarmsOf(plans, naming), ...versionAlarms(canary, entry, naming)],
    alarmEmail: config.aws?.alarm_email,
    logRetentionDays: config.aws?.log_retention_days ?? LOG_DAYS,
    canary,
  };
  const plan = { ...unpriced, quotas: quotasOf(unpriced, catalogue), cost: costOf(unpriced, catalogue, seconds) };
  return { plan, warnings: report.faults };
}

/** The name that SST keeps its state under: config-file.yaml's, else bentofile.yaml's, else the entry's. */
export function deploymentName(config: ConfigFile, bentofile: Bentofile, services: readonly Service[]): string {
  const name = config.name ?? bentofile.name ?? services.at(-1)!.name;
  return name.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^[^a-zA-Z]+|-$/g, "");
}

/** Two services may be called so that what is made of them is not apart: `A-queue` beside `A`, and `APriority`. */
function checkNames(
  plans: readonly ServicePlan[],
  own: OwnNames,
  secrets: readonly SecretPlan[],
  report: PlanReport,
): void {
  const owners = new NameOwners();
  for (const [owner, names] of own) owners.take(owner, names);
  for (const plan of plans)
    for (const [other, what] of owners.take(plan.name, resourceNames(plan, secrets)))
      report.error(
        ["services", plan.name],
        `${plan.name} and ${other} would both have ${what}`,
        own.has(other) ? `rename ${plan.name}` : "rename one",
      );
}

/** By whose they are: names of what the deployment has besides its services. */
type OwnNames = ReadonlyMap<string, readonly string[]>;

function ownNames(secrets: readonly SecretPlan[], hasCanary: boolean, naming: Namer): OwnNames {
  return new Map<string, readonly string[]>([
    ["SST itself", [componentName("App")]],
    ["the deployment's store", [componentName("Store")]],
    ...(hasCanary ? [["the canary's rollback", rollbackNames(naming)] as const] : []),
    ...secrets.map(({ name, sst }) => [`secret ${name}`, [componentName(sst)]] as const),
  ]);
}

/** Availability zones of the VPC: as many as the widest service has. */
function zonesOf(plans: readonly ServicePlan[], config: ConfigFile): number {
  const zones = plans.map((plan) => {
    if (plan.kind === "function") return 0;
    if (plan.kind === "gpu") return plan.capacity.zones;
    return config.services?.[plan.name]?.aws?.zones ?? (plan.kind === "container" ? CONTAINER_ZONES : GPU_ZONES);
  });
  return Math.max(CONTAINER_ZONES, ...zones);
}
