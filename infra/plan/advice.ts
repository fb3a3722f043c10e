import type { Compute, GpuCompute } from "./compute-kind.ts";
import type { Demand } from "./demand.ts";
import type { FunctionPlan, GpuContainerPlan, GpuFunctionPlan, ServicePlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/** Executions at once that a new account has, of which Lambda lets nobody reserve the last hundred. */
const CONCURRENCY = 1000;
const UNRESERVED = 100;
const HOURS = 730;
/** More calls at once than this is nothing that somebody has written for a container. */
const MANY_CALLS = 64;

/** What works and may not be what was meant. */
export function advise(
  demands: readonly Demand[],
  computes: ReadonlyMap<string, Compute>,
  services: readonly ServicePlan[],
  report: PlanReport,
): void {
  const byName = new Map(services.map((service) => [service.name, service]));
  for (const demand of demands) {
    const plan = byName.get(demand.name);
    const compute = computes.get(demand.name);
    if (plan && plan.kind !== "function" && plan.queue && demand.concurrency > MANY_CALLS)
      report.warn(
        demand.override("traffic", "concurrency"),
        `a replica of ${demand.name} takes ${demand.concurrency} calls from its queue at once, and scaling aims at as many`,
        "write how many it can work on, as in concurrency: 1",
      );
    if (plan?.kind === "function" && plan.queueFunction?.inVpc)
      report.warn(
        demand.at(),
        `${demand.name} calls over HTTP, so its functions are in the VPC: they reach nothing outside of it, callback URLs of tasks included`,
        "leave out external_queue: false of what it calls to keep them out of the VPC",
      );
    if (plan?.kind === "gpu" && compute?.kind === "gpu") adviseOnGpu(demand, plan, compute, report);
    if (plan?.kind === "gpu-function") adviseOnGpuFunction(demand, report);
    if (plan?.kind === "gpu" || plan?.kind === "gpu-function") adviseOnStart(demand, plan, demands, report);
  }
  adviseOnConcurrency(demands, services, report);
}

function adviseOnGpu(
  demand: Demand,
  plan: GpuContainerPlan,
  { type, size, dealt }: GpuCompute,
  report: PlanReport,
): void {
  const { name } = demand;
  const { minReplicas, maxReplicas } = plan.scaling;
  if (plan.capacity.minInstances > 0 && type.pricePerHour !== undefined) {
    const month = Math.round(plan.capacity.minInstances * type.pricePerHour * HOURS);
    const many = plan.capacity.minInstances === 1 ? `a ${type.ec2}` : `${plan.capacity.minInstances} ${type.ec2}`;
    report.warn(
      demand.at("scaling", "min_replicas"),
      `${name} always has ${minReplicas} replica${minReplicas === 1 ? "" : "s"}, ${many}: about $${month} a month`,
      "min_replicas: 0 costs nothing while nobody calls, and the first call waits for a start",
    );
  }
  if (maxReplicas === 1 && plan.task.maximumPercent > 100)
    report.warn(
      demand.at("deployment_strategy"),
      `${plan.strategy} starts the new replica beside the old one: while it does, ${name} needs 2 replicas, ${plan.capacity.maxInstances} ${type.ec2}`,
      `have the quota for ${plan.capacity.maxInstances * type.vcpu} vCPUs, or take Recreate, which has none for a while`,
    );
  const used = Math.min(size.replicasPerInstance, maxReplicas) * dealt.gpus;
  if (used < type.gpus)
    report.warn(
      demand.at("instance_type"),
      `${name} uses ${used} of the ${type.gpus} GPUs of ${type.name}; all are paid for`,
      "take a smaller type, or deal more GPUs out to workers",
    );
}

/** Lambda has its own ways with functions on managed instances. */
function adviseOnGpuFunction({ name, config, at }: Demand, report: PlanReport): void {
  if (config.deployment_strategy !== undefined)
    report.warn(
      at("deployment_strategy"),
      `has no effect: Lambda replaces what runs of ${name}, a function with a GPU, all at once`,
      "leave it out, or take backend: ecs",
    );
  if (config.scaling?.policy !== undefined)
    report.warn(
      at("scaling", "policy"),
      `has no effect: Lambda scales ${name}, a function with a GPU, by how busy GPU and cores are`,
      "leave it out, or take backend: ecs",
    );
}

function adviseOnStart(
  demand: Demand,
  plan: GpuContainerPlan | GpuFunctionPlan,
  demands: readonly Demand[],
  report: PlanReport,
): void {
  const { name } = demand;
  const { total } = plan.startEstimate;
  const { coldStartTimeout, minReplicas } = plan.scaling;
  if (coldStartTimeout !== undefined && coldStartTimeout < total)
    report.warn(
      demand.at("cold_start_timeout"),
      `${name} needs about ${total} s for a start, and a call waits for ${coldStartTimeout} s`,
      `write ${Math.ceil(total / 60) * 60}${plan.kind === "gpu" ? ", or shorten the start with aws.warm_pool or aws.ami" : ""}`,
    );
  if (minReplicas > 0) return;
  for (const caller of demands)
    if (caller.dependencies.includes(name) && caller.timeout < total)
      report.warn(
        demand.at("scaling", "min_replicas"),
        `the first call after a pause fails: ${name} needs about ${total} s for a start, and ${caller.name} waits for ${caller.timeout} s`,
        `raise ${caller.name}'s timeout, write min_replicas: 1, or have users submit tasks`,
      );
}

function adviseOnConcurrency(demands: readonly Demand[], services: readonly ServicePlan[], report: PlanReport): void {
  const functions = services.filter((service): service is FunctionPlan => service.kind === "function");
  const reserved = functions.reduce((sum, plan) => sum + (plan.function?.reservedConcurrency ?? 0), 0);
  const most = functions.toSorted(
    (one, other) => (other.function?.reservedConcurrency ?? 0) - (one.function?.reservedConcurrency ?? 0),
  )[0];
  const demand = demands.find(({ name }) => name === most?.name);
  if (demand && reserved > CONCURRENCY - UNRESERVED)
    report.warn(
      demand.at("scaling", "max_replicas"),
      `functions reserve ${reserved} executions at once: a new account has ${CONCURRENCY}, of which ${UNRESERVED} cannot be reserved`,
      "lower max_replicas or workers, or ask for the quota that the plan names",
    );
}
