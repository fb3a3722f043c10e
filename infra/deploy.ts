/// <reference path="../.sst/platform/config.d.ts" />
import type { CanaryVersion, DeploymentPlan, ServicePlan } from "./plan/deployment-plan.ts";
import { createAlarmTopic } from "./resources/alarm-topic.ts";
import { createAlarms } from "./resources/alarms.ts";
import { fingerprintOf } from "./resources/canary-split.ts";
import { createContainerService } from "./resources/container-service.ts";
import { createDashboard } from "./resources/dashboard.ts";
import { type DeployedNetwork, type Deployment, type FunctionNetwork, made } from "./resources/deployed.ts";
import { createDevWorker } from "./resources/dev-worker.ts";
import { createEntryUrl } from "./resources/entry-url.ts";
import { createDeadLetterFunction, createFunctionService } from "./resources/functions.ts";
import { createGpuFunction } from "./resources/gpu-function.ts";
import { createGpuService } from "./resources/gpu-service.ts";
import { createLoadBalancer } from "./resources/load-balancer.ts";
import { createNetwork } from "./resources/network.ts";
import { createQueues } from "./resources/queues.ts";
import { createRecord } from "./resources/record.ts";
import { createRollback } from "./resources/rollback.ts";
import { createSecrets } from "./resources/secrets.ts";
import { createStore } from "./resources/store.ts";

/** Spells a plan as resources. What SST shows and keeps as the stage's outputs is what it returns. */
export function deploy(plan: DeploymentPlan): Record<string, $util.Input<string>> {
  const network = createNetwork(plan);
  const loadBalancer = createLoadBalancer(plan, network);
  const alarmTopic = $dev ? undefined : createAlarmTopic(plan);
  const deployment: Deployment = {
    plan,
    store: createStore(plan),
    queues: new Map(),
    functions: new Map(),
    urls: new Map(),
    secrets: createSecrets(plan),
    versions: new Map(),
    revisions: [],
    alarmTopic,
    alarms: createAlarms(plan, loadBalancer, alarmTopic),
    network,
    loadBalancer,
    clusters: new Map(),
    functionNetwork: functionNetwork(network),
  };
  const callees = plan.services.slice(0, -1);
  for (const service of callees) createService(service, deployment);
  // The entry hands calls over to the versions, which call what the main version calls.
  if (!$dev) for (const version of plan.canary?.versions ?? []) createVersion(version, deployment);
  for (const service of plan.services.slice(callees.length)) createService(service, deployment);
  createRollback(deployment);
  createDashboard(plan);
  const url = createEntryUrl(deployment);
  createRecord(plan, deployment.store, url);
  return { url, store: $interpolate`s3://${deployment.store.name}` };
}

/** A canary version's own services, which see the main one's where it has none of its own. */
function createVersion({ label, services, edges }: CanaryVersion, main: Deployment): void {
  const deployment: Deployment = {
    ...main,
    plan: { ...main.plan, edges },
    queues: new Map(main.queues),
    functions: new Map(main.functions),
    urls: new Map(main.urls),
    clusters: new Map(main.clusters),
    versions: new Map(),
    revisions: [],
  };
  for (const service of services) createService(service, deployment);
  const entry = made(deployment.functions.get(main.plan.entry.service), `entry of version ${label}`);
  main.versions.set(label, { entry, fingerprint: fingerprintOf(deployment) });
}

function createService(service: ServicePlan, deployment: Deployment): void {
  if (service.queue) deployment.queues.set(service.name, createQueues(service, service.queue));
  createDeadLetterFunction(service, deployment);
  switch (service.kind) {
    case "function":
      createFunctionService(service, deployment);
      break;
    case "gpu":
      if ($dev) createDevWorker(service, deployment);
      else createGpuService(service, deployment);
      break;
    case "container":
      if ($dev) createDevWorker(service, deployment);
      else createContainerService(service, deployment);
      break;
    case "gpu-function":
      if ($dev) createDevWorker(service, deployment);
      else createGpuFunction(service, deployment);
      break;
  }
}

function functionNetwork(network: DeployedNetwork | undefined): FunctionNetwork | undefined {
  return network?.private && { subnetIds: network.private.subnetIds, securityGroupIds: [network.private.functions] };
}
