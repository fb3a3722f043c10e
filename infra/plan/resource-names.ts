import type { SecretPlan, ServicePlan } from "./deployment-plan.ts";
import { functionsOf } from "./functions-of.ts";
import { logicalName } from "./names.ts";

/**
 * What two services of a deployment cannot both have, in words: names in AWS, those by which Pulumi keeps a resource (of
 * one type), and those of SST's components (of all types, capitals or not). Only kinds of which a service's names can be
 * another's are here, as `APriority` has a queue `APriorityQueue` and so has `A`; test/infra/graph/names.test.ts works
 * out from what is deployed which these are.
 * @param secrets those of the deployment.
 */
export function resourceNames(service: ServicePlan, secrets: readonly SecretPlan[]): string[] {
  return [...namesInAws(service), ...componentNames(service), ...pulumiNames(service, secrets)];
}

function namesInAws(service: ServicePlan): string[] {
  const { queue } = service;
  const aliased = service.kind === "function" ? functionsOf(service) : [];
  const withGpu = service.kind === "gpu-function" ? [service.function] : [];
  const functions = [...aliased, ...withGpu, ...(queue ? [queue.deadLetterFunction] : [])];
  const queues = queue ? [queue.physicalName, queue.priorityPhysicalName, queue.deadLetterPhysicalName] : [];
  return [
    ...functions.map(({ physicalName }) => `a function ${physicalName}`),
    ...queues.map((name) => `a queue ${name}`),
    ...("task" in service ? [`a service of ECS's ${service.task.physicalName}`] : []),
    ...aliased.map(({ physicalName }) => `a stack ${physicalName}-live`),
    ...withGpu.map(({ physicalName }) => `a stack ${physicalName}`),
  ];
}

function componentNames(service: ServicePlan): string[] {
  const roles = [
    ...(service.kind === "function" ? functionRoles(service) : ["Dev"]),
    ...("task" in service ? ["", "Cluster"] : []),
    ...(service.queue ? ["DeadLetters"] : []),
  ];
  // SST makes a second component of each that can be linked to.
  return roles.flatMap((role) => ["", "LinkRef"].map((end) => componentName(logicalName(service) + role + end)));
}

/** A name that SST takes once, in words. */
export function componentName(name: string): string {
  return `a component ${name.toLowerCase()}`;
}

function pulumiNames(service: ServicePlan, secrets: readonly SecretPlan[]): string[] {
  const { kind, queue } = service;
  const id = logicalName(service);
  const named = (what: string, ...roles: string[]) => roles.map((role) => `a ${what} ${id}${role} in Pulumi`);
  const functions = kind === "function" ? functionRoles(service) : [];
  const own = secrets.filter(({ name }) => service.secrets.includes(name)).map(({ sst }) => sst);
  return [
    ...(queue ? named("queue", "Queue", "PriorityQueue", "DeadLetterQueue") : []),
    ...named("log group", ...[...functions, ...(queue ? ["DeadLetters"] : [])].map((role) => `${role}Logs`)),
    ...named("role", ...functions.map((role) => `${role}RolloutRole`)),
    ...(kind === "gpu-function" ? named("log group", "Logs", "InstancesLogs") : []),
    ...(kind === "gpu-function" ? named("role", "Role", "OperatorRole") : []),
    ...(kind === "gpu" ? named("role", "InstanceRole") : []),
    ...("task" in service ? named("parameter", ...own) : []),
  ];
}

/** What SST's names of a service's functions end in. */
function functionRoles({ function: invoked, queueFunction }: Extract<ServicePlan, { kind: "function" }>): string[] {
  return [...(invoked ? [""] : []), ...(queueFunction ? ["QueueRunner"] : [])];
}

/** Whose each name is. */
export class NameOwners {
  readonly #owners = new Map<string, string>();

  /**
   * Gives a service its names.
   * @returns of each other that has one of them already, the first such name.
   */
  take(owner: string, names: readonly string[]): Map<string, string> {
    const taken = new Map<string, string>();
    for (const name of names) {
      const other = this.#owners.get(name);
      if (other !== undefined && other !== owner && !taken.has(other)) taken.set(other, name);
      this.#owners.set(name, other ?? owner);
    }
    return taken;
  }
}
