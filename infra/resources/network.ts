/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan, ServicePlan } from "../plan/deployment-plan.ts";
import { type Namer, namer } from "../plan/names.ts";
import type { DeployedNetwork } from "./deployed.ts";

/** Zones that a /16 has room for: eight /20 blocks of public subnets, eight of private ones. */
const ZONES = 8;
const ANYWHERE = "0.0.0.0/0";

/**
 * The network of containers, without a NAT gateway. Public subnets have no way in: their security group lets nothing in but
 * the load balancer, where there is one. Private subnets have no way out either; functions and the load balancer are there,
 * and reach AWS by endpoints. None in `sst dev`, where workers run on the desk.
 */
export function createNetwork(plan: DeploymentPlan): DeployedNetwork | undefined {
  if (!plan.network || $dev) return undefined;
  const { network } = plan;
  const name = namer(plan.name, plan.stage);
  const vpc = new aws.ec2.Vpc(
    "Network",
    {
      cidrBlock: "10.0.0.0/16",
      enableDnsSupport: true,
      enableDnsHostnames: true,
      tags: { Name: name("ecs", "network") },
    },
    // A network is no data: production's goes with the deployment, too.
    { retainOnDelete: false },
  );
  const { id: vpcId } = vpc;
  // What is not given a security group gets this one: nothing in, nothing out.
  new aws.ec2.DefaultSecurityGroup(
    "NetworkDefaultGroup",
    { vpcId, ingress: [], egress: [] },
    { retainOnDelete: false },
  );

  const zones = zonesOf(plan, network.zones);
  const gateway = new aws.ec2.InternetGateway("NetworkGateway", { vpcId, tags: { Name: name("ecs", "gateway") } });
  const publicRoutes = new aws.ec2.RouteTable("NetworkPublicRoutes", {
    vpcId,
    routes: [{ cidrBlock: ANYWHERE, gatewayId: gateway.id }],
    tags: { Name: name("ecs", "public") },
  });
  const publicSubnets = subnets("Public", 0, { vpcId, zones, count: network.zones, routes: publicRoutes, name });
  const workers = securityGroup("WorkerGroup", "Workers: nothing comes in but from the load balancer", vpcId, name);
  if (!network.private) {
    gatewayEndpoints(network.gatewayEndpoints, plan.region, vpcId, [publicRoutes]);
    return { vpcId, publicSubnets, workers, private: undefined };
  }

  const privateRoutes = new aws.ec2.RouteTable("NetworkPrivateRoutes", {
    vpcId,
    tags: { Name: name("ecs", "private") },
  });
  const privateSubnets = subnets("Private", ZONES, { vpcId, zones, count: network.zones, routes: privateRoutes, name });
  gatewayEndpoints(network.gatewayEndpoints, plan.region, vpcId, [publicRoutes, privateRoutes]);
  const functions = securityGroup("FunctionGroup", "Functions: nothing comes in", vpcId, name);
  const endpoints = securityGroup("EndpointGroup", "APIs of AWS, for functions and workers", vpcId, name);
  // An endpoint's private name holds in the whole network, so workers in public subnets are sent to it as well.
  allow("EndpointsFromFunctions", { to: endpoints, from: functions, ports: [443, 443] });
  allow("EndpointsFromWorkers", { to: endpoints, from: workers, ports: [443, 443] });
  for (const service of network.interfaceEndpoints)
    new aws.ec2.VpcEndpoint(`NetworkEndpoint${logical(service)}`, {
      vpcId,
      vpcEndpointType: "Interface",
      serviceName: `com.amazonaws.${plan.region}.${service}`,
      subnetIds: privateSubnets,
      securityGroupIds: [endpoints],
      privateDnsEnabled: true,
      tags: { Name: name("ecs", service) },
    });
  return { vpcId, publicSubnets, workers, private: { subnetIds: privateSubnets, functions } };
}

/**
 * Zones of the region, those first that sell the most of the plan's GPU types: not every zone has them. Subnets keep the
 * zone that they were made in.
 */
function zonesOf(plan: DeploymentPlan, count: number): $util.Output<string[]> {
  const types = [...new Set(plan.services.flatMap(instanceTypesOf))];
  const available = aws.getAvailabilityZonesOutput({
    state: "available",
    filters: [{ name: "opt-in-status", values: ["opt-in-not-required"] }],
  }).names;
  const sellers =
    types.length === 0
      ? $output<string[]>([])
      : aws.ec2.getInstanceTypeOfferingsOutput({
          locationType: "availability-zone",
          filters: [{ name: "instance-type", values: types }],
        }).locations;
  return $resolve([available, sellers]).apply(([names, locations]) => {
    const sold = (zone: string) => locations.filter((location) => location === zone).length;
    const best = [...names].sort((a, b) => sold(b) - sold(a) || a.localeCompare(b)).slice(0, count);
    if (best.length < count)
      throw new Error(
        `${plan.region} has ${best.length} availability zones for this account: set aws.zones to ${best.length}`,
      );
    return best;
  });
}

function instanceTypesOf(service: ServicePlan): readonly string[] {
  if (service.kind === "gpu") return service.capacity.instanceTypes;
  return service.kind === "gpu-function" ? service.function.instanceTypes : [];
}

interface Subnets {
  vpcId: $util.Input<string>;
  zones: $util.Output<string[]>;
  count: number;
  routes: aws.ec2.RouteTable;
  name: Namer;
}

/** One /20 subnet a zone, the first of them `first` blocks into the network. */
function subnets(kind: "Public" | "Private", first: number, { vpcId, zones, count, routes, name }: Subnets) {
  return Array.from({ length: count }, (_, index) => {
    const subnet = new aws.ec2.Subnet(
      `Network${kind}Subnet${index + 1}`,
      {
        vpcId,
        cidrBlock: `10.0.${(first + index) * 16}.0/20`,
        availabilityZone: zones.apply((all) => all[index]!),
        mapPublicIpOnLaunch: kind === "Public",
        tags: { Name: name("ecs", kind, String(index + 1)) },
      },
      { retainOnDelete: false, ignoreChanges: ["availabilityZone"] },
    );
    const association = new aws.ec2.RouteTableAssociation(`Network${kind}Association${index + 1}`, {
      subnetId: subnet.id,
      routeTableId: routes.id,
    });
    // What is in the subnet comes after its way out, and goes before it.
    return $resolve([subnet.id, association.id]).apply(([id]) => id);
  });
}

function gatewayEndpoints(
  services: readonly string[],
  region: string,
  vpcId: $util.Input<string>,
  routes: readonly aws.ec2.RouteTable[],
): void {
  for (const service of services)
    new aws.ec2.VpcEndpoint(`NetworkEndpoint${logical(service)}`, {
      vpcId,
      vpcEndpointType: "Gateway",
      serviceName: `com.amazonaws.${region}.${service}`,
      routeTableIds: routes.map(({ id }) => id),
    });
}

/**
 * A security group that lets nothing in, and everything out. Rules are resources of their own, so that groups may name
 * each other.
 * @returns its id, once the rule is there.
 */
export function securityGroup(
  id: string,
  description: string,
  vpcId: $util.Input<string>,
  name: Namer,
): $util.Output<string> {
  const group = new aws.ec2.SecurityGroup(id, { vpcId, description, tags: { Name: name("ecs", id) } });
  return new aws.vpc.SecurityGroupEgressRule(`${id}Out`, {
    securityGroupId: group.id,
    ipProtocol: "-1",
    cidrIpv4: ANYWHERE,
    description: "Everything out",
  }).securityGroupId;
}

/** Lets one group's members speak to another's over TCP, on ports from the first to the second. */
export function allow(id: string, { to, from, ports: [fromPort, toPort] }: Passage): void {
  new aws.vpc.SecurityGroupIngressRule(id, {
    securityGroupId: to,
    referencedSecurityGroupId: from,
    ipProtocol: "tcp",
    fromPort,
    toPort,
  });
}

interface Passage {
  readonly to: $util.Input<string>;
  readonly from: $util.Input<string>;
  readonly ports: readonly [number, number];
}

function logical(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
