import type { Bentofile } from "#shared/config/bentofile.ts";
import type { ConfigFile } from "#shared/config/config-file.ts";
import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import type { Service } from "#shared/service/contract.ts";
import { catalogueOf } from "../catalogue/instance-types.ts";
import { advise } from "./advice.ts";
import { type Compute, computeOf } from "./compute-kind.ts";
import { containerPlan, gpuFunctionPlan, gpuPlan } from "./container-plan.ts";
import { type Demand, demandsOf } from "./demand.ts";
import type { EdgePlan, ServicePlan } from "./deployment-plan.ts";
import { userEnvironment } from "./environment.ts";
import { functionPlan } from "./function-plan.ts";
import { type Namer, physicalName } from "./names.ts";
import { callersInVpc } from "./network.ts";
import type { PlanReport } from "./plan-report.ts";
import type { ServiceScope } from "./service-scope.ts";
import { checkTimeouts } from "./timeouts.ts";
import { edgesOf } from "./transport.ts";

/** What of a project is deployed. */
export interface PlannedProject {
  /** Contracts of all services that are deployed: callees before callers, the entry last. */
  readonly services: readonly Service[];
  readonly bentofile: Bentofile;
  /** Finds a service's Lambda handlers in the project. */
  handlers(service: string): HandlerFiles;
}

/** What the services of one version are planned with. */
export interface ServicesInput {
  readonly project: PlannedProject;
  readonly config: ConfigFile;
  readonly naming: Namer;
  readonly report: PlanReport;
  /** Names of a service's secrets. */
  secretsOf(service: string): string[];
}

/** The services of one version, as far as they can be. */
export interface ServicePlans {
  readonly demands: readonly Demand[];
  readonly computes: ReadonlyMap<string, Compute>;
  readonly edges: readonly EdgePlan[];
  /** Names of services with functions in the VPC. */
  readonly inVpc: ReadonlySet<string>;
  readonly plans: readonly ServicePlan[];
}

/** Decides what each service runs on, and how they call each other. */
export function servicePlans({ project, config, naming, report, secretsOf }: ServicesInput): ServicePlans {
  const { services, bentofile } = project;
  const catalogue = catalogueOf(config);
  const demands = demandsOf(services, config, report);
  checkServices(demands, config, report);
  const computes = new Map<string, Compute>();
  for (const demand of demands) {
    const compute = computeOf(demand, catalogue, report);
    if (compute) computes.set(demand.name, compute);
  }
  const edges = edgesOf(demands, computes, report);
  const inVpc = callersInVpc(edges);
  const scope: ServiceScope = {
    bentofile,
    edges,
    inVpc,
    naming,
    report,
    handlers: (service) => project.handlers(service),
    variables: (demand, runsAs) => userEnvironment(demand, bentofile, config, runsAs, report),
    secretsOf,
  };
  const plans = demands.flatMap((demand) => servicePlan(demand, computes.get(demand.name), scope));
  const queued = new Set(plans.flatMap((plan) => (plan.queue ? [plan.name] : [])));
  checkTimeouts(demands, queued, report);
  advise(demands, computes, plans, report);
  return { demands, computes, edges, inVpc, plans };
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
