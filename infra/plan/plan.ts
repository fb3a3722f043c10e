import type { Bentofile } from "#shared/config/bentofile.ts";
import type { ConfigFile } from "#shared/config/config-file.ts";
import { ConfigError, type Fault } from "#shared/config/faults.ts";
import type { Loaded } from "#shared/config/load.ts";
import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import type { Service } from "#shared/service/contract.ts";
import { catalogueOf } from "../catalogue/instance-types.ts";
import { advise } from "./advice.ts";
import { alarmsOf } from "./alarms.ts";
import { type Compute, computeOf } from "./compute-kind.ts";
import { containerPlan, GPU_ZONES, gpuFunctionPlan, gpuPlan } from "./container-plan.ts";
import { costOf } from "./cost.ts";
import { type Demand, demandsOf } from "./demand.ts";
import type { DeploymentPlan, ServicePlan } from "./deployment-plan.ts";
import { entryPlan } from "./entry-plan.ts";
import { userEnvironment } from "./environment.ts";
import { functionPlan } from "./function-plan.ts";
import { namer, physicalName } from "./names.ts";
import { callersInVpc, networkOf } from "./network.ts";
import { PlanReport } from "./plan-report.ts";
import { quotasOf } from "./quotas.ts";
import { API_KEYS, secretsOf } from "./secrets.ts";
import type { ServiceScope } from "./service-scope.ts";
import { tagsOf } from "./tags.ts";
import { checkTimeouts } from "./timeouts.ts";
import { edgesOf } from "./transport.ts";

/** What a plan is made from. */
export interface PlanInput {
  /** Contracts of all services that are deployed: callees before callers, the entry last. */
  readonly services: readonly Service[];
  readonly bentofile: Bentofile;
  readonly configFile: Pick<Loaded<ConfigFile>, "config" | "fault">;
  /** At most 30 letters, digits and hyphens; data of `production` outlives it. */
  readonly stage: string;
  /** AWS region. */
  readonly region: string;
  /** Finds a service's Lambda handlers in the project. */
  handlers(service: string): HandlerFiles;
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
  const { services, bentofile, stage, region } = input;
  const { config, fault } = input.configFile;
  const report = new PlanReport(fault);
  const name = deploymentName(config, bentofile, services);
  const naming = namer(name, stage);
  const catalogue = catalogueOf(config);
  const demands = demandsOf(services, config, report);
  checkServices(demands, config, report);
  const computes = new Map<string, Compute>();
  for (const demand of demands) {
    const compute = computeOf(demand, catalogue, report);
    if (compute) computes.set(demand.name, compute);
  }
  if (config.canary)
    report.error(
      ["canary"],
      "versions side by side are not deployed yet",
      "take it out; deployment_strategy: BestEffortControlledRollout moves a tenth of the calls first, and back on errors",
    );
  const edges = edgesOf(demands, computes, report);
  const inVpc = callersInVpc(edges);
  const entry = entryPlan(demands, config, inVpc, report);
  const secrets = secretsOf(config.secrets ?? [], entry.access === "bearer", report);
  const scope: ServiceScope = {
    bentofile,
    edges,
    inVpc,
    naming,
    report,
    handlers: (service) => input.handlers(service),
    variables: (demand, isFunction) => userEnvironment(demand, bentofile, config, isFunction, report),
    secretsOf: (service) =>
      secrets.map((secret) => secret.name).filter((secret) => secret !== API_KEYS || service === entry.service),
  };
  const plans = demands.flatMap((demand) => servicePlan(demand, computes.get(demand.name), scope));
  checkNames(plans, report);
  const queued = new Set(plans.flatMap((plan) => (plan.queue ? [plan.name] : [])));
  checkTimeouts(demands, queued, report);
  advise(demands, computes, plans, report);
  const tags = tagsOf(name, stage, bentofile, config, report);
  if (report.failed) throw new ConfigError(report.faults);
  const network = networkOf(plans, edges, zonesOf(demands, computes));
  const seconds = Object.fromEntries(demands.map((demand) => [demand.name, demand.config.aws?.seconds_per_call]));
  const resultDays = config.aws?.result_retention_days ?? RESULT_DAYS;
  const unpriced: Omit<DeploymentPlan, "quotas" | "cost"> = {
    version: 1,
    name,
    stage,
    region,
    description: config.description ?? bentofile.description,
    tags,
    removal: stage === PRODUCTION ? "retain" : "remove",
    entry,
    services: plans,
    edges,
    network,
    store: { retentionDays: resultDays },
    secrets,
    alarms: alarmsOf(plans, naming),
    alarmEmail: config.aws?.alarm_email,
    logRetentionDays: config.aws?.log_retention_days ?? LOG_DAYS,
    canary: undefined,
  };
  const plan = { ...unpriced, quotas: quotasOf(unpriced, catalogue), cost: costOf(unpriced, catalogue, seconds) };
  return { plan, warnings: report.faults };
}

function servicePlan(demand: Demand, compute: Compute | undefined, scope: ServiceScope): ServicePlan[] {
  switch (compute?.kind) {
    case "function":
      return [functionPlan(demand, compute, scope)];
    case "container":
      return [containerPlan(demand, compute, scope)];
    case "gpu":
      return [gpuPlan(demand, compute, scope)];
    case "gpu-function":
      return [gpuFunctionPlan(demand, compute, scope)];
    default:
      return [];
  }
}

/** The name that SST keeps its state under: config-file.yaml's, else bentofile.yaml's, else the entry's. */
export function deploymentName(config: ConfigFile, bentofile: Bentofile, services: readonly Service[]): string {
  const name = config.name ?? bentofile.name ?? services.at(-1)!.name;
  return name.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^[^a-zA-Z]+|-$/g, "");
}

/** What is wrong with the services as a whole, apart from what each says. */
function checkServices(demands: readonly Demand[], config: ConfigFile, report: PlanReport): void {
  const deployed = demands.map(({ name }) => name);
  const byName = new Map<string, string>();
  for (const { name, at, service } of demands) {
    const plain = physicalName([name], 63);
    const other = byName.get(plain);
    if (other !== undefined) report.error(at(), `${name} and ${other} have one name in AWS, ${plain}`, "rename one");
    byName.set(plain, name);
    for (const dependency of service.dependencies)
      if (!deployed.includes(dependency.name))
        report.warn(
          at(),
          `${name} calls ${dependency.name}, which service.ts does not export: it is not deployed`,
          `export it, or have depends(${dependency.name}, { url }) say where it runs`,
        );
  }
  for (const name of Object.keys(config.services ?? {}))
    if (!deployed.includes(name))
      report.warn(
        ["services", name],
        `${name} is not deployed: ${deployed.at(-1)}, the entry, does not call it, nor does what it calls`,
        "add it to the dependencies of a service, or leave it out",
      );
}

/** Two services may be called so that their functions or queues are not apart: `A-queue` beside `A`. */
function checkNames(plans: readonly ServicePlan[], report: PlanReport): void {
  const owners = new Map<string, string>();
  for (const { name, queue, ...plan } of plans) {
    const functions = [
      ...("function" in plan && plan.function ? [plan.function] : []),
      ...("queueFunction" in plan && plan.queueFunction ? [plan.queueFunction] : []),
      ...(queue ? [queue.deadLetterFunction] : []),
    ];
    for (const { physicalName } of functions) {
      const other = owners.get(physicalName);
      if (other !== undefined && other !== name)
        report.error(
          ["services", name],
          `${name} and ${other} would both have a function ${physicalName}`,
          "rename one",
        );
      owners.set(physicalName, name);
    }
  }
}

/** Availability zones of the VPC: as many as the widest service has. */
function zonesOf(demands: readonly Demand[], computes: ReadonlyMap<string, Compute>): number {
  const zones = demands.flatMap(({ name, config }) => {
    const kind = computes.get(name)?.kind;
    if (kind === undefined || kind === "function") return [];
    return [config.aws?.zones ?? (kind === "container" ? CONTAINER_ZONES : GPU_ZONES)];
  });
  return Math.max(CONTAINER_ZONES, ...zones);
}
