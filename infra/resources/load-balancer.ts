/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan, ServicePlan } from "../plan/deployment-plan.ts";
import { namer } from "../plan/names.ts";
import type { DeployedLoadBalancer, DeployedNetwork, DeployedTarget } from "./deployed.ts";
import { allow, securityGroup } from "./network.ts";
import { serviceTags } from "./service-tags.ts";

/** Longest that a load balancer waits for a byte, and that it lets calls of a leaving replica end, in seconds. */
const IDLE_LIMIT = 4000;
const DEREGISTRATION_LIMIT = 3600;
/** Ports of containers in bridge mode are given by Docker, from the kernel's range of ephemeral ports. */
const EPHEMERAL = [32_768, 65_535] as const;
const DEFAULT_PORT = 3000;

/** The port on which a container serves HTTP. */
export function containerPort({ environment }: Pick<ServicePlan, "environment">): number {
  return Number(environment.PORT ?? DEFAULT_PORT);
}

/**
 * The private load balancer of services that are called over HTTP: a listener and a target group each. Only functions and
 * workers that call a service reach its port. Undefined where the plan has none, and in `sst dev`.
 */
export function createLoadBalancer(
  plan: DeploymentPlan,
  network: DeployedNetwork | undefined,
): DeployedLoadBalancer | undefined {
  if (!network?.private || !plan.network || plan.network.loadBalanced.length === 0) return undefined;
  const name = namer(plan.name, plan.stage);
  const behind = plan.network.loadBalanced.map(({ service, port }) => ({ port, service: serviceOf(plan, service) }));
  const group = securityGroup("LoadBalancerGroup", "The private load balancer", network.vpcId, name);
  const longest = Math.max(...behind.map(({ service }) => service.timeout));
  const balancer = new aws.lb.LoadBalancer("LoadBalancer", {
    name: name("loadBalancer", "internal"),
    loadBalancerType: "application",
    internal: true,
    subnets: network.private.subnetIds,
    securityGroups: [group],
    // One second over the calls' own timeout, so that the worker's answer to it still arrives.
    idleTimeout: Math.min(IDLE_LIMIT, Math.ceil(longest) + 1),
    dropInvalidHeaderFields: true,
  });

  const targets = new Map<string, DeployedTarget>();
  const open = new Map(
    behind.map(({ service }) => {
      const inside = containerPort(service);
      const ports = service.kind === "gpu" ? EPHEMERAL : ([inside, inside] as const);
      return [ports.join("To"), ports];
    }),
  );
  for (const [id, ports] of open) allow(`WorkersFromLoadBalancer${id}`, { to: network.workers, from: group, ports });
  for (const { service, port } of behind) {
    for (const [caller, from] of callers(plan, service.name, network))
      allow(`${service.name}LoadBalancerFrom${caller}`, { to: group, from, ports: [port, port] });
    const target = new aws.lb.TargetGroup(`${service.name}Target`, {
      // A name of AWS's making: another port makes another group, which must be there before the listener leaves this one.
      namePrefix: "tandem",
      vpcId: network.vpcId,
      port: containerPort(service),
      protocol: "HTTP",
      targetType: service.kind === "gpu" ? "instance" : "ip",
      // A replica takes few calls, and long ones: the next goes to the one with the fewest.
      loadBalancingAlgorithmType: "least_outstanding_requests",
      deregistrationDelay: Math.min(DEREGISTRATION_LIMIT, Math.ceil(service.timeout)),
      healthCheck: {
        path: "/readyz",
        matcher: "200",
        interval: 10,
        timeout: 5,
        healthyThreshold: 2,
        unhealthyThreshold: 3,
      },
      tags: { ...serviceTags(service), Name: name("ecs", service.name) },
    });
    const listener = new aws.lb.Listener(`${service.name}Listener`, {
      loadBalancerArn: balancer.arn,
      port,
      protocol: "HTTP",
      defaultActions: [{ type: "forward", targetGroupArn: target.arn }],
      tags: serviceTags(service),
    });
    targets.set(service.name, { target, listener, url: $interpolate`http://${balancer.dnsName}:${port}` });
  }
  return { balancer, targets };
}

function serviceOf(plan: DeploymentPlan, name: string): ServicePlan {
  const service = plan.services.find((it) => it.name === name);
  if (!service) throw new Error(`the plan has ${name} behind the load balancer and no such service`);
  return service;
}

/** Security groups of those who call a service over HTTP, by what they are. */
function callers(plan: DeploymentPlan, callee: string, network: DeployedNetwork): Map<string, $util.Input<string>> {
  const edges = plan.edges.filter((edge) => edge.callee === callee && edge.transport === "http");
  return new Map(
    edges.map(({ caller }) =>
      serviceOf(plan, caller).kind === "function"
        ? ["Functions", network.private!.functions]
        : ["Workers", network.workers],
    ),
  );
}
