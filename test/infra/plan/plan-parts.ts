import type {
  AlarmPlan,
  ContainerPlan,
  EdgePlan,
  FunctionPlan,
  GpuContainerPlan,
  GpuFunctionPlan,
  LambdaPlan,
  QueuePlan,
  TaskPlan,
} from "#infra/plan/deployment-plan.ts";

const base = {
  timeout: 60,
  maxConcurrency: 10,
  concurrency: 1,
  strategy: "RollingUpdate",
  queue: undefined,
  environment: {},
  secrets: [],
  permissions: [],
} as const;
const start = { boot: 60, pull: 60, load: 60, total: 180, basis: "test" };
const image = { context: ".", dockerfile: "Dockerfile", platform: "linux/amd64", args: {}, target: undefined } as const;

export const lambda = (more: Partial<LambdaPlan> = {}): LambdaPlan => ({
  physicalName: "a-function",
  handler: "functions/handlers/a.handler",
  runtime: "nodejs24.x",
  architecture: "arm64",
  memory: 2048,
  timeout: 60,
  provisionedConcurrency: 0,
  reservedConcurrency: undefined,
  shift: { type: "all-at-once" },
  inVpc: false,
  ...more,
});

const queue: QueuePlan = {
  physicalName: "q",
  priorityPhysicalName: "p",
  deadLetterPhysicalName: "d",
  visibilityTimeout: 30,
  maxReceiveCount: 3,
  retention: 3600,
  deadLetterFunction: lambda(),
  deadLetterPermissions: [],
};

const task = (more: Partial<TaskPlan> = {}): TaskPlan => ({
  physicalName: "a-task",
  image,
  cpu: 4096,
  memory: 14_000,
  gpus: 1,
  workers: [{ gpus: [0] }],
  networkMode: "host",
  stopTimeout: 120,
  minimumHealthyPercent: 100,
  maximumPercent: 200,
  circuitBreaker: true,
  bakeSeconds: 0,
  modelUrl: undefined,
  ...more,
});

const scaling = (minReplicas: number, maxReplicas: number) => ({
  minReplicas,
  maxReplicas,
  targetPerReplica: 1,
  scaleOutCooldown: 0,
  scaleInCooldown: 600,
  scaleOut: true,
  scaleIn: true,
  coldStartTimeout: undefined,
});

export const cpuService = (
  name: string,
  live: Partial<LambdaPlan> = {},
  more: Partial<FunctionPlan> = {},
): FunctionPlan => ({
  ...base,
  kind: "function",
  name,
  instanceType: "cpu.1",
  scaling: scaling(0, 5),
  function: lambda(live),
  queueFunction: undefined,
  ...more,
});

export const gpuService = (
  name: string,
  instanceType: string,
  ec2: string | readonly string[],
  [min, max]: readonly [number, number],
  more: { capacity?: Partial<GpuContainerPlan["capacity"]>; task?: Partial<TaskPlan> } = {},
): GpuContainerPlan => ({
  ...base,
  kind: "gpu",
  name,
  instanceType,
  queue,
  scaling: scaling(min, max),
  task: task(more.task),
  capacity: {
    physicalName: "a-group",
    instanceTypes: [ec2].flat(),
    replicasPerInstance: 1,
    minInstances: min,
    maxInstances: max,
    spotPercent: 0,
    zones: 3,
    warmPool: 0,
    ami: undefined,
    rootVolume: 100,
    instanceStorage: true,
    ...more.capacity,
  },
  startEstimate: start,
});

export const gpuFunction = (name: string, [min, max]: readonly [number, number]): GpuFunctionPlan => ({
  ...base,
  kind: "gpu-function",
  name,
  instanceType: "gpu.l4.1",
  queue,
  scaling: scaling(min, max),
  function: {
    physicalName: "a-gpu-function",
    memory: 8192,
    memoryPerCore: 4,
    storage: 512,
    timeout: 900,
    instanceTypes: ["g6.xlarge"],
    maxVcpus: 12,
    maximumConcurrency: 2,
  },
  image,
  acceleratorMemory: 24,
  startEstimate: start,
});

export const container = (
  name: string,
  [min, max]: readonly [number, number],
  platform: "linux/amd64" | "linux/arm64",
): ContainerPlan => ({
  ...base,
  kind: "container",
  name,
  instanceType: "cpu.8",
  scaling: scaling(min, max),
  task: task({ image: { ...image, platform }, memory: 16_384, gpus: 0, networkMode: "awsvpc" }),
});

export const edge = (caller: string, callee: string, transport: EdgePlan["transport"]): EdgePlan => ({
  caller,
  callee,
  transport,
});

export const alarm = (metric: AlarmPlan["metric"]): AlarmPlan => ({
  physicalName: `an-${metric}`,
  service: "A",
  metric,
  threshold: 1,
  period: 60,
  periods: 1,
  description: "",
});
