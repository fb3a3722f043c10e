/// <reference path="../../.sst/platform/config.d.ts" />
import type { ContainerPlan } from "../plan/deployment-plan.ts";
import { logicalName } from "../plan/names.ts";
import { createCluster } from "./cluster.ts";
import { type Deployment, made } from "./deployed.ts";
import { containerPort } from "./load-balancer.ts";
import { createScaling } from "./scaling.ts";
import { rollout, serviceArgs, taskDefinition } from "./task.ts";

/** A CPU service that is too large for a function: SST's Service on Fargate, scaled and deployed as GPU services are. */
export function createContainerService(service: ContainerPlan, deployment: Deployment): void {
  const { component, capacityProvider } = createCluster(service, deployment);
  const network = made(deployment.network, "network of containers");
  const { task } = service;
  const behind = deployment.loadBalancer?.targets.get(service.name);
  const { triggers, ...args } = serviceArgs(service, deployment, component);
  const deployed = new sst.aws.Service(logicalName(service), {
    ...args,
    transform: {
      ...args.transform,
      taskDefinition: (definition) => {
        definition.cpu = String(task.cpu);
        definition.memory = String(task.memory);
        taskDefinition(service, definition, (container) => ({
          ...container,
          portMappings: behind ? [{ containerPort: containerPort(service), protocol: "tcp" }] : [],
        }));
        return undefined;
      },
      service: (args, opts) => {
        rollout(service, deployment, args, opts, [component]);
        args.triggers = triggers;
        args.capacityProviderStrategies = [{ capacityProvider, weight: 1, base: 0 }];
        // A public address is the way out without a NAT gateway; the security group leaves no way in.
        args.networkConfiguration = {
          subnets: [...network.publicSubnets],
          securityGroups: [network.workers],
          assignPublicIp: true,
        };
        return undefined;
      },
    },
  });
  if (behind) deployment.urls.set(service.name, behind.url);
  deployment.revisions.push(deployed.nodes.taskDefinition.apply(({ arn }) => arn));
  createScaling(service, deployment, deployed.nodes.autoScalingTarget);
}
