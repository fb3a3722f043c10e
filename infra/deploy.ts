/// <reference path="../.sst/platform/config.d.ts" />
import type { DeploymentPlan, ServicePlan } from "./plan/deployment-plan.ts";
import { createAlarms } from "./resources/alarms.ts";
import { createContainerService } from "./resources/container-service.ts";
import { createDashboard } from "./resources/dashboard.ts";
import type { DeployedNetwork, Deployment, FunctionNetwork } from "./resources/deployed.ts";
import { createDevWorker } from "./resources/dev-worker.ts";
import { createEntryUrl } from "./resources/entry-url.ts";
import { createDeadLetterFunction, createFunctionService } from "./resources/functions.ts";
import { createGpuFunction } from "./resources/gpu-function.ts";
import { createGpuService } from "./resources/gpu-service.ts";
import { createLoadBalancer } from "./resources/load-balancer.ts";
import { createNetwork } from "./resources/network.ts";
import { createQueues } from "./resources/queues.ts";
import { createRecord } from "./resources/record.ts";
import { createSecrets } from "./resources/secrets.ts";
import { createStore } from "./resources/store.ts";

/** Spells a plan as resources. What SST shows and keeps as the stage's outputs is what it returns. */
export function deploy(plan: DeploymentPlan): Record<string, $util.Input<string>> {
  const network = createNetwork(plan);
  const loadBalancer = createLoadBalancer(plan, network);
  const deployment: Deployment = {
    plan,
    store: createStore(plan),
    queues: new Map(),
    functions: new Map(),
    urls: new Map(),
    secrets: createSecrets(plan),
    alarms: createAlarms(plan, loadBalancer),
    network,
    loadBalancer,
    clusters: new Map(),
    functionNetwork: functionNetwork(network),
  };
  for (const service of plan.services) createService(service, deployment);
  createDashboard(plan);
  const url = createEntryUrl(deployment);
  createRecord(plan, deployment.store, url);
  return { url, store: $interpolate`s3://${deployment.store.name}` };
}

function createService(service: ServicePlan, deployment: Deployment): void {
  if (service.queue) deployment.queues.set(service.name, createQueues(service.name, service.queue));
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
