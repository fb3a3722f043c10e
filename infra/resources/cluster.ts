/// <reference path="../../.sst/platform/config.d.ts" />
import { logicalName } from "../plan/names.ts";
import { createCapacity } from "./capacity.ts";
import { type Deployment, made } from "./deployed.ts";
import { serviceTags } from "./service-tags.ts";
import type { ContainerService } from "./task.ts";

/** A service's cluster, and the capacity provider that its tasks run on. */
export interface ServiceCluster {
  /** The capacity provider is the cluster's once it is there. */
  readonly component: sst.aws.Cluster;
  readonly capacityProvider: $util.Output<string>;
}

/**
 * The ECS cluster of one service, with its instances' capacity provider or Fargate's. Clusters cost nothing; in one for all
 * services, a service that leaves config-file.yaml could not be removed: Pulumi would take its capacity provider off the
 * cluster before it deletes the service, and AWS refuses that while the service uses it.
 *
 * A cluster's capacity providers are one list that AWS takes whole, and SST's Cluster writes Fargate's there: the list is
 * put in its place. It is known only when the instances' group is, and that wants the cluster first; hence the promise.
 */
export function createCluster(service: ContainerService, deployment: Deployment): ServiceCluster {
  const id = `${logicalName(service)}Cluster`;
  const network = made(deployment.network, "network of containers");
  const [capacityProvider, attach] = $util.deferredOutput<string>();
  $transform(aws.ecs.ClusterCapacityProviders, (args, _opts, name) => {
    if (name === `${id}CapacityProviders`) args.capacityProviders = [capacityProvider];
  });
  const component = new sst.aws.Cluster(id, {
    vpc: {
      id: network.vpcId,
      securityGroups: [network.workers],
      containerSubnets: [...network.publicSubnets],
      loadBalancerSubnets: [...(network.private?.subnetIds ?? [])],
    },
    transform: {
      cluster: (args) => {
        args.name = service.task.physicalName;
        // Tells how many tasks run, which scaling goes by.
        args.settings = [{ name: "containerInsights", value: "enabled" }];
        args.tags = { ...args.tags, ...serviceTags(service) };
      },
    },
  });
  const { cluster } = component.nodes;
  deployment.clusters.set(service.name, cluster.arn);
  attach(service.kind === "gpu" ? createCapacity(deployment.plan, service, network, cluster).name : $output("FARGATE"));
  return { component, capacityProvider };
}
