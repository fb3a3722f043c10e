import type { Catalogue } from "../catalogue/instance-types.ts";
import type { DeploymentPlan, GpuContainerPlan, QuotaPlan, ServicePlan } from "./deployment-plan.ts";

type Quota = Pick<QuotaPlan, "serviceCode" | "quotaCode" | "name" | "default">;

const ec2 = (quotaCode: string, name: string): Quota => ({ serviceCode: "ec2", quotaCode, name, default: 0 });

/**
 * Quotas of vCPUs, by purchase and family. AWS names none for Spot of P6.
 * @see https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
 */
const ON_DEMAND: readonly (readonly [family: RegExp, quota: Quota])[] = [
  [/^g/, ec2("L-DB2E81BA", "Running On-Demand G and VT instances (vCPUs)")],
  [/^p/, ec2("L-417A185B", "Running On-Demand P instances (vCPUs)")],
];
const SPOT: readonly (readonly [family: RegExp, quota: Quota])[] = [
  [/^g/, ec2("L-3819A6DF", "All G and VT Spot Instance Requests (vCPUs)")],
  [/^p[2-4]/, ec2("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests (vCPUs)")],
  [/^p5/, ec2("L-C4BD4855", "All P5 Spot Instance Requests (vCPUs)")],
];

const CONCURRENT_EXECUTIONS: Quota = {
  serviceCode: "lambda",
  quotaCode: "L-B99A9384",
  name: "Concurrent executions (new accounts often have 10)",
  default: 1000,
};

/** What Lambda keeps for functions without reserved concurrency. */
const UNRESERVED = 100;

/** What the account must allow with the most replicas, all services together; what costs no quota is not listed. */
export function quotasOf(
  { region, services, canary }: Pick<DeploymentPlan, "region" | "services" | "canary">,
  catalogue: Catalogue,
): QuotaPlan[] {
  const all = [...services, ...(canary?.versions.flatMap((version) => version.services) ?? [])];
  const needed = new Map<Quota, number>();
  const add = (quota: Quota | undefined, amount: number): void => {
    if (quota && amount > 0) needed.set(quota, (needed.get(quota) ?? 0) + amount);
  };
  for (const service of all) {
    if (service.kind === "gpu") addInstances(service, catalogue, add);
    if (service.kind === "gpu-function") {
      const type = catalogue.find(service.instanceType);
      if (type.kind === "gpu") add(quotaOf(type.ec2, ON_DEMAND), type.vcpu * service.scaling.maxReplicas);
    }
  }
  add(CONCURRENT_EXECUTIONS, concurrentExecutions(all));
  return [...needed].map(([quota, amount]) => ({ ...quota, needed: amount, command: command(quota, amount, region) }));
}

/** vCPUs of the machine, or of the fallback that has most, for every running instance there may be; stopped ones are free. */
function addInstances(
  { capacity }: GpuContainerPlan,
  catalogue: Catalogue,
  add: (quota: Quota | undefined, amount: number) => void,
): void {
  const spot = spotInstances(capacity);
  const onDemand = capacity.maxInstances - spot;
  for (const [quotas, instances] of [
    [ON_DEMAND, onDemand],
    [SPOT, spot],
  ] as const) {
    const most = new Map<Quota, number>();
    for (const ec2 of capacity.instanceTypes) {
      const quota = quotaOf(ec2, quotas);
      const vcpu = catalogue.machines.find((machine) => machine.ec2 === ec2)?.vcpu ?? 0;
      if (quota) most.set(quota, Math.max(most.get(quota) ?? 0, vcpu));
    }
    for (const [quota, vcpu] of most) add(quota, vcpu * instances);
  }
}

/** Of the instances over the minimum, those that are Spot: AWS rounds the share on demand up. */
export function spotInstances({ minInstances, maxInstances, spotPercent }: GpuContainerPlan["capacity"]): number {
  return Math.floor(((maxInstances - minInstances) * spotPercent) / 100);
}

/** Environments that may run at once, and those that Lambda keeps for other functions where some are reserved. */
function concurrentExecutions(services: readonly ServicePlan[]): number {
  const functions = services.flatMap((service) => (service.kind === "function" ? [service] : []));
  const reserves = functions.some((service) => service.function?.reservedConcurrency !== undefined);
  return functions.reduce(
    (sum, { function: invoked, queueFunction }) =>
      sum +
      (invoked ? (invoked.reservedConcurrency ?? Math.max(1, invoked.provisionedConcurrency)) : 0) +
      (queueFunction ? (queueFunction.reservedConcurrency ?? queueFunction.maximumConcurrency) : 0),
    reserves ? UNRESERVED : 0,
  );
}

function quotaOf(ec2: string, quotas: typeof ON_DEMAND): Quota | undefined {
  return quotas.find(([family]) => family.test(ec2))?.[1];
}

function command({ serviceCode, quotaCode }: Quota, amount: number, region: string): string {
  return `aws service-quotas request-service-quota-increase --service-code ${serviceCode} --quota-code ${quotaCode} --desired-value ${amount} --region ${region}`;
}
