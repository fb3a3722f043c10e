/** Plans of container services, as `planDeployment` makes them, and the program that spells them. */
import type {
  ContainerPlan,
  DeploymentPlan,
  FunctionPlan,
  GpuContainerPlan,
  QueuePlan,
} from "#infra/plan/deployment-plan.ts";
import { createAlarmTopic } from "#infra/resources/alarm-topic.ts";
import { createAlarms } from "#infra/resources/alarms.ts";
import { createContainerService } from "#infra/resources/container-service.ts";
import { createDashboard } from "#infra/resources/dashboard.ts";
import type { Deployment } from "#infra/resources/deployed.ts";
import { createDevWorker } from "#infra/resources/dev-worker.ts";
import { createGpuService } from "#infra/resources/gpu-service.ts";
import { createLoadBalancer } from "#infra/resources/load-balancer.ts";
import { createNetwork } from "#infra/resources/network.ts";
import { createQueues } from "#infra/resources/queues.ts";
import { aPlan } from "../a-plan.ts";

const LAMBDA = {
  physicalName: "gallery-test-painter-dead-letters",
  handler: "functions/handlers/painter-dead-letters.handler",
  runtime: "nodejs24.x",
  architecture: "arm64",
  memory: 512,
  timeout: 60,
  provisionedConcurrency: 0,
  reservedConcurrency: undefined,
  shift: { type: "all-at-once" },
  inVpc: false,
} as const;

export function aQueue(service: string): QueuePlan {
  const name = `gallery-test-${service.toLowerCase()}`;
  return {
    physicalName: name,
    priorityPhysicalName: `${name}-priority`,
    deadLetterPhysicalName: `${name}-dead`,
    visibilityTimeout: 30,
    maxReceiveCount: 3,
    retention: 172_800,
    deadLetterFunction: LAMBDA,
    deadLetterPermissions: [],
  };
}

const TASK = {
  physicalName: "gallery-test-painter",
  image: {
    context: ".",
    dockerfile: "gpu-worker/Dockerfile",
    target: undefined,
    platform: "linux/amd64",
    args: { BASE: "cuda" },
  },
  cpu: 4096,
  memory: 14_000,
  gpus: 1,
  workers: [{ gpus: [0] }],
  networkMode: "host",
  stopTimeout: 120,
  minimumHealthyPercent: 0,
  maximumPercent: 100,
  circuitBreaker: true,
  bakeSeconds: 0,
  modelUrl: "s3://models/sdxl/",
} as const;

/** One L4 a replica, by queue, from zero to four replicas. */
export function aGpuService(changes: Partial<GpuContainerPlan> = {}): GpuContainerPlan {
  const name = changes.name ?? "Painter";
  return {
    kind: "gpu",
    name,
    instanceType: "gpu.l4.1",
    timeout: 700,
    maxConcurrency: 20,
    concurrency: 2,
    scaling: {
      minReplicas: 0,
      maxReplicas: 4,
      targetPerReplica: 2,
      scaleOutCooldown: 0,
      scaleInCooldown: 600,
      scaleOut: true,
      scaleIn: true,
      coldStartTimeout: undefined,
    },
    strategy: "Recreate",
    queue: aQueue(name),
    environment: {
      TANDEM_SERVICE: name,
      TANDEM_WORKERS: '[{"gpus":[0]}]',
      TANDEM_MODEL_URL: "s3://models/sdxl/",
      TANDEM_MODEL_DIR: "/models",
    },
    secrets: [],
    permissions: [
      { actions: ["sqs:ReceiveMessage"], on: { kind: "queue", service: name } },
      { actions: ["s3:GetObject"], on: { kind: "s3", url: "s3://models/sdxl/" } },
      { actions: ["ecs:UpdateTaskProtection"], on: { kind: "task-protection", service: name } },
    ],
    task: TASK,
    capacity: {
      physicalName: "gallery-test-painter-instances",
      instanceTypes: ["g6.xlarge"],
      replicasPerInstance: 1,
      minInstances: 0,
      maxInstances: 4,
      spotPercent: 0,
      zones: 3,
      warmPool: 0,
      ami: undefined,
      rootVolume: 100,
      instanceStorage: true,
    },
    startEstimate: { boot: 90, pull: 103, load: 26, total: 219, basis: "" },
    ...changes,
  };
}

/** The same behind the load balancer: no queue, and a replica that is always there. */
export function anHttpGpuService(changes: Partial<GpuContainerPlan> = {}): GpuContainerPlan {
  const service = aGpuService();
  return {
    ...service,
    queue: undefined,
    scaling: { ...service.scaling, minReplicas: 1 },
    environment: { ...service.environment, PORT: "3000" },
    permissions: [],
    task: { ...TASK, networkMode: "bridge", modelUrl: undefined },
    ...changes,
  };
}

/** Eight cores, by queue. */
export function aContainerService(changes: Partial<ContainerPlan> = {}): ContainerPlan {
  const { capacity: _, startEstimate: __, ...service } = aGpuService({ name: "Resizer" });
  return {
    ...service,
    kind: "container",
    instanceType: "cpu.8",
    environment: { TANDEM_SERVICE: "Resizer" },
    permissions: [],
    task: {
      ...TASK,
      physicalName: "gallery-test-resizer",
      image: { ...TASK.image, target: "cpu" },
      cpu: 4096,
      memory: 16_384,
      gpus: 0,
      networkMode: "awsvpc",
      modelUrl: undefined,
    },
    ...changes,
  };
}

/** The entry, a function; this folder's program does not make it. */
export function anEntry(): FunctionPlan {
  const { task: _, capacity: __, startEstimate: ___, ...service } = anHttpGpuService({ name: "Entry" });
  return {
    ...service,
    kind: "function",
    instanceType: "cpu.1",
    queue: aQueue("Entry"),
    function: { ...LAMBDA, physicalName: "gallery-test-entry" },
    queueFunction: {
      ...LAMBDA,
      physicalName: "gallery-test-entry-queue",
      maximumConcurrency: 2,
      batchSize: 1,
      permissions: [],
      secrets: [],
    },
  };
}

/** A plan of such services, with the network that they want. */
export function aContainerPlan(
  services: readonly (GpuContainerPlan | ContainerPlan | FunctionPlan)[],
  changes: Partial<DeploymentPlan> = {},
): DeploymentPlan {
  const http = services.filter(({ kind, queue }) => kind !== "function" && queue === undefined);
  return aPlan({
    entry: { ...aPlan().entry, service: "Entry" },
    services,
    network: {
      zones: 3,
      private: http.length > 0,
      gatewayEndpoints: ["s3"],
      interfaceEndpoints: http.length > 0 ? ["sqs"] : [],
      loadBalanced: http.map(({ name }, index) => ({ service: name, port: 8000 + index })),
    },
    // The last calls the others.
    edges: http
      .slice(0, -1)
      .map(({ name }) => ({ caller: http.at(-1)!.name, callee: name, transport: "http" as const })),
    ...changes,
  });
}

/** Spells what this folder's tests are about, in the order of infra/deploy.ts. */
export function deployContainers(plan: DeploymentPlan): Record<string, $util.Input<string>> {
  const network = createNetwork(plan);
  const loadBalancer = createLoadBalancer(plan, network);
  const alarmTopic = $dev ? undefined : createAlarmTopic(plan);
  const deployment: Deployment = {
    plan,
    store: { name: "gallery-store", arn: "arn:aws:s3:::gallery-store" },
    queues: new Map(),
    versions: new Map(),
    revisions: [],
    alarmTopic,
    functions: new Map(),
    urls: new Map(),
    secrets: new Map(plan.secrets.map(({ name }) => [name, $util.secret("s3cret")])),
    alarms: createAlarms(plan, loadBalancer, alarmTopic),
    network,
    loadBalancer,
    clusters: new Map(),
    functionNetwork: undefined,
  };
  for (const service of plan.services) {
    if (service.queue) deployment.queues.set(service.name, createQueues(service, service.queue));
    if (service.kind === "function") continue;
    if ($dev && service.kind !== "gpu-function") createDevWorker(service, deployment);
    else if (service.kind === "gpu") createGpuService(service, deployment);
    else if (service.kind === "container") createContainerService(service, deployment);
  }
  createDashboard(plan);
  return Object.fromEntries(deployment.urls);
}
