/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import { namer } from "../plan/names.ts";
import { createCapacity } from "./capacity.ts";
import type { DeployedCluster, DeployedNetwork } from "./deployed.ts";

/**
 * The ECS cluster, with the capacity of each GPU service. Undefined where the plan has no container, and in `sst dev`.
 *
 * A cluster's capacity providers are one list that AWS takes whole, and SST's Cluster writes Fargate's there: the list is
 * put in its place. It is known only when the instances' groups are, and those want the cluster first; hence the promise.
 */
export function createCluster(plan: DeploymentPlan, network: DeployedNetwork | undefined): DeployedCluster | undefined {
  if (!network || !plan.services.some(({ kind }) => kind === "gpu" || kind === "container")) return undefined;
  const name = namer(plan.name, plan.stage)("ecs", "cluster");
  const fargate = plan.services.some(({ kind }) => kind === "container") ? ["FARGATE"] : [];
  const [providers, attach] = $util.deferredOutput<string[]>();
  $transform(aws.ecs.ClusterCapacityProviders, (args) => {
    args.capacityProviders = providers;
  });
  const cluster = new sst.aws.Cluster("Cluster", {
    vpc: {
      id: network.vpcId,
      securityGroups: [network.workers],
      containerSubnets: [...network.publicSubnets],
      loadBalancerSubnets: [...(network.private?.subnetIds ?? [])],
    },
    transform: {
      cluster: (args) => {
        args.name = name;
        // Tells how many tasks run, which scaling goes by.
        args.settings = [{ name: "containerInsights", value: "enabled" }];
      },
    },
  });
  const capacityProviders = new Map(
    plan.services.flatMap((service) => {
      if (service.kind !== "gpu") return [];
      const provider = createCapacity(plan, service, network, { name, resource: cluster.nodes.cluster });
      return [[service.name, provider.name]];
    }),
  );
  attach($resolve([...capacityProviders.values()]).apply((names) => [...fargate, ...names]));
  return { name, arn: cluster.nodes.cluster.arn, component: cluster, capacityProviders };
}
