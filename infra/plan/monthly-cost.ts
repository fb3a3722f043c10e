import type { Catalogue } from "../catalogue/instance-types.ts";
import { type Architecture, PRICES } from "../catalogue/prices.ts";
import type {
  AlarmPlan,
  ContainerPlan,
  CostItem,
  FunctionPlan,
  GpuContainerPlan,
  GpuFunctionPlan,
  NetworkPlan,
  ServicePlan,
} from "./deployment-plan.ts";
import { functionsOf } from "./functions-of.ts";
import { spotInstances } from "./quotas.ts";

/** Hours that AWS's calculator gives a month. */
export const HOURS = 730;

/**
 * Metrics of Container Insights, each charged as a custom one: 11 of a cluster, and 13 of a service and 8 of its task
 * definition.
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
 */
const INSIGHTS = { cluster: 11, service: 21 };

/** Metrics that an alarm reads: CloudWatch charges each. Queues have two lanes; a rate has two counts. */
const ALARM_METRICS: Readonly<Record<AlarmPlan["metric"], number>> = {
  "queue-age": 2,
  "dead-letters": 1,
  "error-rate": 2,
  throttles: 1,
  "gpu-idle": 1,
  "no-replica": 2,
  "version-errors": 8,
};

/** Target tracking makes two alarms of five metrics; the one that wakes a service from zero has seven. */
const SCALING_METRICS = { tracking: 10, waking: 7 };

/** What a service costs by the month, whether it is called or not. */
export function serviceItems(service: ServicePlan, catalogue: Catalogue): CostItem[] {
  switch (service.kind) {
    case "function":
      return functionItems(service);
    case "gpu":
      return [...gpuItems(service, catalogue), ...scalingItems(service)];
    case "container":
      return [...containerItems(service), ...scalingItems(service)];
    case "gpu-function":
      return managedItems(service, catalogue);
  }
}

/** What the deployment as a whole costs by the month. */
export function commonItems(
  network: NetworkPlan | undefined,
  alarms: readonly AlarmPlan[],
  services: readonly ServicePlan[],
): CostItem[] {
  const containers = services.filter(({ kind }) => kind === "gpu" || kind === "container").length;
  const endpoints = network?.interfaceEndpoints.length ?? 0;
  const zones = network?.zones ?? 0;
  const alarmed = alarms.reduce((sum, { metric }) => sum + ALARM_METRICS[metric], 0);
  const insights = INSIGHTS.cluster + INSIGHTS.service * containers;
  return [
    ...(network?.loadBalanced.length ? [always("load balancer", PRICES.loadBalancer.usd * HOURS)] : []),
    ...(endpoints > 0
      ? [
          always(
            `${count(endpoints, "interface endpoint")} in ${count(zones, "zone")}`,
            endpoints * zones * PRICES.interfaceEndpoint.usd * HOURS,
          ),
        ]
      : []),
    ...(containers > 0 ? [always(`Container Insights, ${insights} metrics`, insights * PRICES.customMetric.usd)] : []),
    ...(alarmed > 0 ? [always(count(alarms.length, "alarm"), alarmed * PRICES.alarmMetric.usd)] : []),
    always("dashboard", PRICES.dashboard.usd),
  ];
}

function functionItems(service: FunctionPlan): CostItem[] {
  return functionsOf(service).flatMap(({ provisionedConcurrency, memory, architecture }) => {
    if (provisionedConcurrency === 0) return [];
    const price = PRICES.provisionedConcurrency[architecture]?.usd;
    const usd = price && provisionedConcurrency * (memory / 1024) * HOURS * 3600 * price;
    return [always(`${provisionedConcurrency} x ${memory} MB kept warm`, usd, service.name)];
  });
}

/** With the most replicas: those that a rollout starts beside them are gone after minutes. */
function gpuItems({ name, capacity, scaling, instanceType }: GpuContainerPlan, catalogue: Catalogue): CostItem[] {
  const { minInstances: min, replicasPerInstance, rootVolume, warmPool } = capacity;
  const max = Math.ceil(scaling.maxReplicas / replicasPerInstance);
  const type = catalogue.find(instanceType);
  const perHour = type.kind === "gpu" ? type.pricePerHour : undefined;
  const spot = spotInstances({ ...capacity, maxInstances: max });
  const volume = rootVolume * PRICES.gp3.usd;
  const instances = (what: string, least: number, most: number): CostItem => ({
    service: name,
    what: `${range(least, most)} x ${capacity.instanceTypes[0]} ${what}`,
    monthlyAtMin: times(least, perHour && perHour * HOURS),
    monthlyAtMax: times(most, perHour && perHour * HOURS),
  });
  return [
    ...(max > spot ? [instances("on demand", min, max - spot)] : []),
    ...(spot > 0 ? [instances("Spot, priced as on demand", 0, spot)] : []),
    each(name, `root volumes of ${rootVolume} GiB`, min, max, volume),
    each(name, "public IPv4 addresses", min, max, PRICES.publicIpv4.usd * HOURS),
    ...(warmPool > 0
      ? [always(`${count(warmPool, "volume")} of stopped instances, ${rootVolume} GiB each`, warmPool * volume, name)]
      : []),
  ];
}

function containerItems({ name, task, scaling }: ContainerPlan): CostItem[] {
  const architecture: Architecture = task.image.platform === "linux/arm64" ? "arm64" : "x86_64";
  const cores = task.cpu / 1024;
  const gibibytes = task.memory / 1024;
  const perHour = cores * PRICES.fargateCpu[architecture].usd + gibibytes * PRICES.fargateMemory[architecture].usd;
  const { minReplicas: min, maxReplicas: max } = scaling;
  return [
    each(name, `Fargate tasks of ${cores} vCPU and ${gibibytes} GB`, min, max, perHour * HOURS),
    each(name, "public IPv4 addresses", min, max, PRICES.publicIpv4.usd * HOURS),
  ];
}

/** A machine for each replica, which is the most that it may take: AWS does not say how accelerators are shared out. */
function managedItems({ name, instanceType, scaling }: GpuFunctionPlan, catalogue: Catalogue): CostItem[] {
  const type = catalogue.find(instanceType);
  const perHour = type.kind === "gpu" ? type.pricePerHour : undefined;
  const monthly = perHour && perHour * (1 + PRICES.managedInstances.usd) * HOURS;
  const { minReplicas: min, maxReplicas: max } = scaling;
  const ec2 = type.kind === "gpu" ? type.ec2 : instanceType;
  return [
    {
      service: name,
      what: `${range(min, max)} x ${ec2} managed by Lambda`,
      monthlyAtMin: times(min, monthly),
      monthlyAtMax: times(max, monthly),
    },
  ];
}

function scalingItems({ name, scaling, queue }: GpuContainerPlan | ContainerPlan): CostItem[] {
  const { minReplicas, maxReplicas } = scaling;
  if (minReplicas === maxReplicas) return [];
  const metrics = SCALING_METRICS.tracking + (minReplicas === 0 && queue ? SCALING_METRICS.waking : 0);
  return [always("alarms of scaling", metrics * PRICES.alarmMetric.usd, name)];
}

/** Costs the same with the least and the most replicas. */
function always(what: string, usd: number | undefined, service?: string): CostItem {
  return { service, what, monthlyAtMin: usd, monthlyAtMax: usd };
}

function each(service: string, what: string, least: number, most: number, usd: number): CostItem {
  return { service, what: `${range(least, most)} ${what}`, monthlyAtMin: least * usd, monthlyAtMax: most * usd };
}

/** Nothing costs nothing, whatever its price. */
function times(amount: number, usd: number | undefined): number | undefined {
  return amount === 0 ? 0 : usd && amount * usd;
}

function range(least: number, most: number): string {
  return least === most ? String(least) : `${least} to ${most}`;
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}
