/// <reference path="../../.sst/platform/config.d.ts" />
import type { GpuFunctionPlan } from "../plan/deployment-plan.ts";
import type { Deployment } from "./deployed.ts";
import { environmentOf } from "./locations.ts";
import type { ContainerService } from "./task.ts";

/**
 * In `sst dev` a container service, or a function with a GPU, is a process on the desk, in a pane of its own: it takes calls from the stage's queue,
 * or on its port, as the container would. No instance, cluster or network is made. It has as many workers as its contract
 * says, without GPUs, and its weights are below `.tandem`.
 */
export function createDevWorker(service: ContainerService | GpuFunctionPlan, deployment: Deployment): void {
  const { plan } = deployment;
  const port = devPort(service.name, deployment);
  const { TANDEM_WORKERS: _, TANDEM_MODEL_DIR: folder, PORT: __, ...rest } = service.environment;
  const environment = environmentOf({ ...service, environment: rest }, deployment);
  const below = `.tandem/dev/${service.name}`;
  new sst.x.DevCommand(`${service.name}Dev`, {
    dev: { title: service.name, command: "node_modules/.bin/node gpu-worker/main.ts", autostart: true },
    environment: {
      ...environment,
      AWS_REGION: plan.region,
      TANDEM_RUN_DIR: `${below}/run`,
      ...(folder && { TANDEM_MODEL_DIR: `${below}/weights` }),
      ...(port !== undefined && { PORT: String(port) }),
    },
  });
  if (port !== undefined) deployment.urls.set(service.name, `http://127.0.0.1:${port}`);
}

/** The port of its listener, had it a load balancer; undefined where calls come by queue. */
function devPort(service: string, { plan }: Deployment): number | undefined {
  return plan.network?.loadBalanced.find((it) => it.service === service)?.port;
}
