import type { ContainerCompute, GpuCompute, GpuFunctionCompute } from "./compute-kind.ts";
import type { DealtGpus } from "./deal-gpus.ts";
import type { Demand } from "./demand.ts";
import type {
  CapacityPlan,
  ContainerPlan,
  GpuContainerPlan,
  GpuFunctionPlan,
  QueuePlan,
  ServicePlan,
  TaskPlan,
} from "./deployment-plan.ts";
import { contractOverrides } from "./environment.ts";
import { GPU_FUNCTION_LIMIT } from "./gpu-fields.ts";
import { imageOf } from "./image.ts";
import { callerOf, gpuFunction, merged, queueWorker, weights } from "./permissions.ts";
import { queuePlan } from "./queue-plan.ts";
import { eventSourceConcurrency, scalingOf } from "./scaling.ts";
import type { ServiceScope } from "./service-scope.ts";
import { startEstimate } from "./start-estimate.ts";
import { containerRollout, DEFAULT_STRATEGY } from "./strategies.ts";

/** Seconds between SIGTERM and SIGKILL: the longest that ECS waits. */
const STOP_SECONDS = 120;
const PORT = 3000;
/** Where the image expects weights that are fetched; a function has nothing but `/tmp` to write to. */
const MODEL_FOLDER = "/models";
const FUNCTION_MODEL_FOLDER = "/tmp/models";
/** MB of a function's `/tmp`: Lambda's default, and the most that its documents name. */
const TMP = { default: 512, weights: 10_240 };
/** vCPUs of a capacity provider that CDK takes at the least. */
const LEAST_VCPUS = 12;
/** GiB of the root volume: the GPU-optimised AMI's 30, and an image with its layers twice. */
const ROOT_VOLUME = 100;
export const GPU_ZONES = 3;

/** A GPU service as tasks on instances of its own. */
export function gpuPlan(demand: Demand, compute: GpuCompute, scope: ServiceScope): GpuContainerPlan {
  const { type, types, size, dealt } = compute;
  const aws = demand.config.aws ?? {};
  const common = containerBase(demand, compute, dealt, scope);
  const task: TaskPlan = {
    ...taskOf(demand, common, dealt, scope, true),
    cpu: size.cpu,
    memory: size.memory,
    networkMode: common.overHttp ? "bridge" : "host",
  };
  const { minReplicas, maxReplicas } = common.base.scaling;
  const instances = (replicas: number): number => Math.ceil(replicas / size.replicasPerInstance);
  const capacity: CapacityPlan = {
    physicalName: scope.naming("autoScalingGroup", demand.name, "instances"),
    instanceTypes: types.map(({ ec2 }) => ec2),
    replicasPerInstance: size.replicasPerInstance,
    minInstances: instances(minReplicas),
    // A rollout starts new replicas beside old ones.
    maxInstances: instances(Math.floor((maxReplicas * Math.max(100, task.maximumPercent)) / 100)),
    spotPercent: aws.spot_percent ?? 0,
    zones: aws.zones ?? GPU_ZONES,
    warmPool: aws.warm_pool ?? 0,
    ami: aws.ami,
    rootVolume: aws.root_volume === undefined ? ROOT_VOLUME : Math.ceil(aws.root_volume / 2 ** 30),
    instanceStorage: types.every(({ localStorage }) => localStorage > 0),
  };
  const { warmPool, ami } = capacity;
  return {
    kind: "gpu",
    ...common.base,
    instanceType: type.name,
    task,
    capacity,
    startEstimate: startEstimate({ warmPool, ami, modelUrl: task.modelUrl, managed: false }),
  };
}

/** A CPU service that exceeds a function, as Fargate tasks. */
export function containerPlan(demand: Demand, compute: ContainerCompute, scope: ServiceScope): ContainerPlan {
  const common = containerBase(demand, compute, compute.dealt, scope);
  return {
    kind: "container",
    ...common.base,
    task: { ...taskOf(demand, common, compute.dealt, scope, false), ...compute.size, networkMode: "awsvpc" },
  };
}

/** A GPU service as a function on instances that AWS manages. */
export function gpuFunctionPlan(demand: Demand, compute: GpuFunctionCompute, scope: ServiceScope): GpuFunctionPlan {
  const { naming, report, bentofile } = scope;
  const { memory, memoryPerCore, type, acceleratorMemory } = compute;
  const modelUrl = demand.config.aws?.model_url;
  const timeout = Math.min(GPU_FUNCTION_LIMIT, Math.ceil(demand.timeout) + 5);
  const start = startEstimate({ warmPool: 0, ami: undefined, modelUrl, managed: true });
  const { base } = containerBase(demand, compute, undefined, scope);
  const { scaling } = base;
  const instances = Math.ceil(scaling.maxReplicas / type.gpus);
  return {
    kind: "gpu-function",
    ...base,
    queue: queuePlan(demand, scope.handlers(demand.name), naming, { timeout, start: start.total }, report),
    permissions: merged([...gpuFunction(demand.name), ...base.permissions]),
    function: {
      physicalName: naming("function", demand.name),
      memory,
      memoryPerCore,
      storage: modelUrl === undefined ? TMP.default : TMP.weights,
      timeout,
      instanceTypes: [type.ec2],
      // New versions start beside old ones, and every instance is replaced within 14 days.
      maxVcpus: Math.max(LEAST_VCPUS, 2 * instances * type.vcpu),
      maximumConcurrency: eventSourceConcurrency(demand.concurrency, scaling),
    },
    image: imageOf(bentofile, "gpu-function"),
    acceleratorMemory,
    startEstimate: start,
  };
}

interface ContainerBase {
  readonly base: Omit<Extract<ServicePlan, { kind: "container" }>, "kind" | "task">;
  readonly overHttp: boolean;
}

function containerBase(
  demand: Demand,
  compute: ContainerCompute | GpuCompute | GpuFunctionCompute,
  dealt: DealtGpus | undefined,
  scope: ServiceScope,
): ContainerBase {
  const { name, config, timeout, maxConcurrency, concurrency } = demand;
  const { edges, report, naming } = scope;
  const overHttp = edges.some(({ callee, transport }) => callee === name && transport === "http");
  const isManaged = compute.kind === "gpu-function";
  const queue: QueuePlan | undefined =
    overHttp || isManaged ? undefined : queuePlan(demand, scope.handlers(name), naming, undefined, report);
  const modelUrl = config.aws?.model_url;
  const variables = scope.variables(demand, isManaged ? "function-image" : "container");
  const { visibilityTimeout, maxReceiveCount } = queue ?? {};
  const overrides = {
    ...contractOverrides(demand),
    ...(queue && { maxReceiveCount, visibilityTimeout }),
  };
  return {
    overHttp,
    base: {
      name,
      instanceType: compute.instanceType,
      timeout,
      maxConcurrency,
      concurrency,
      scaling: scalingOf(demand, true, report),
      strategy: config.deployment_strategy ?? DEFAULT_STRATEGY,
      queue,
      environment: {
        TANDEM_METRICS: "emf",
        ...(modelUrl !== undefined && {
          TANDEM_MODEL_DIR: isManaged ? FUNCTION_MODEL_FOLDER : MODEL_FOLDER,
          TANDEM_MODEL_URL: modelUrl,
        }),
        ...variables,
        TANDEM_SERVICE: name,
        ...(dealt && { TANDEM_WORKERS: JSON.stringify(dealt.workers) }),
        ...(Object.keys(overrides).length > 0 && { TANDEM_OVERRIDES: JSON.stringify(overrides) }),
        ...(overHttp && { PORT: String(PORT) }),
      },
      secrets: scope.secretsOf(name),
      permissions: merged([
        ...(queue ? queueWorker(name) : []),
        ...callerOf(edges.filter(({ caller }) => caller === name)),
        ...(modelUrl?.startsWith("s3://") ? weights(modelUrl) : []),
      ]),
    },
  };
}

function taskOf(
  demand: Demand,
  { base }: ContainerBase,
  { gpus, workers }: DealtGpus,
  { naming, bentofile }: ServiceScope,
  gpu: boolean,
): Omit<TaskPlan, "cpu" | "memory" | "networkMode"> {
  return {
    physicalName: naming("ecs", demand.name),
    image: imageOf(bentofile, gpu ? "gpu" : "cpu"),
    gpus,
    workers,
    stopTimeout: STOP_SECONDS,
    ...containerRollout(base.strategy, base.scaling.minReplicas),
    modelUrl: demand.config.aws?.model_url,
  };
}
