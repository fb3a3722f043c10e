import { beforeAll, describe, expect, it } from "vitest";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import {
  aContainerPlan,
  aContainerService,
  aGpuService,
  anHttpGpuService,
  deployContainers,
} from "./container-plans.ts";

const SUBNET = "aws:ec2/subnet:Subnet";
const INBOUND = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule";

describe("the network where calls go by queue", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await synthesize(() => deployContainers(aContainerPlan([aGpuService()])));
    expect(graph.error).toBeUndefined();
  });

  it("has a public subnet in each zone, and nothing that costs by the hour", () => {
    const subnets = resourcesOf(graph, SUBNET);
    expect(subnets.map(({ inputs }) => [inputs.cidrBlock, inputs.mapPublicIpOnLaunch])).toEqual([
      ["10.0.0.0/20", true],
      ["10.0.16.0/20", true],
      ["10.0.32.0/20", true],
    ]);
    expect(resourcesOf(graph, "aws:ec2/natGateway:NatGateway")).toEqual([]);
    expect(resourcesOf(graph, "aws:lb/loadBalancer:LoadBalancer")).toEqual([]);
    const endpoints = resourcesOf(graph, "aws:ec2/vpcEndpoint:VpcEndpoint");
    expect(endpoints.map(({ inputs }) => [inputs.serviceName, inputs.vpcEndpointType])).toEqual([
      ["com.amazonaws.us-east-1.s3", "Gateway"],
    ]);
  });

  it("lets nothing in, not even by the VPC's default group", () => {
    expect(resourcesOf(graph, INBOUND)).toEqual([]);
    for (const { inputs } of resourcesOf(graph, "aws:ec2/securityGroup:SecurityGroup"))
      expect(inputs.ingress).toBeUndefined();
    expect(resourceOf(graph, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs).toMatchObject({
      ingress: [],
      egress: [],
    });
  });

  it("takes zones that sell the plan's GPU types, and stays in them", () => {
    expect(graph.calls.find(({ token }) => token.includes("getInstanceTypeOfferings"))?.inputs.filters).toEqual([
      { name: "instance-type", values: ["g6.xlarge"] },
    ]);
    const subnets = resourcesOf(graph, SUBNET);
    // The first zone of the mocks does not sell them.
    expect(subnets.map(({ inputs }) => inputs.availabilityZone)).toEqual(["us-east-1b", "us-east-1c", "us-east-1d"]);
    for (const { options } of subnets) expect(options.ignoreChanges).toEqual(["availabilityZone"]);
  });

  it("is there with its way out before any instance, and gone after the last", () => {
    const group = resourceOf(graph, "aws:autoscaling/group:Group");
    const before = group.dependencies.map((urn) => urn.split("::").at(-1));
    expect(before).toContain("NetworkPublicAssociation1");
    const template = resourceOf(graph, "aws:ec2/launchTemplate:LaunchTemplate");
    expect(template.dependencies.map((urn) => urn.split("::").at(-1))).toContain("WorkerGroupOut");
  });

  it("goes with the deployment in production, too: it is no data", async () => {
    const production = await synthesize(() => deployContainers(aContainerPlan([aGpuService()])), {
      stage: "production",
    });
    for (const type of [SUBNET, "aws:ec2/vpc:Vpc", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"])
      for (const { options } of resourcesOf(production, type)) expect(options.retainOnDelete).toBe(false);
  });

  it("says how many zones there are where the plan wants more", async () => {
    const plan = aContainerPlan([aContainerService()]);
    const many = { ...plan, network: { ...plan.network!, zones: 5 } };
    const { error } = await synthesize(() => deployContainers(many));
    expect(String(error)).toContain("us-east-1 has 4 availability zones for this account: set aws.zones to 4");
  });
});

describe("the network where calls go over HTTP", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await synthesize(() => deployContainers(aContainerPlan([anHttpGpuService()])));
    expect(graph.error).toBeUndefined();
  });

  it("has private subnets besides, without a route out", () => {
    expect(resourcesOf(graph, SUBNET).filter(({ inputs }) => inputs.mapPublicIpOnLaunch === false)).toHaveLength(3);
    expect(resourceOf(graph, "aws:ec2/routeTable:RouteTable", "NetworkPrivateRoutes").inputs.routes).toBeUndefined();
  });

  it("reaches AWS by endpoints, which let workers in as well: their private names hold in all of it", () => {
    const sqs = resourceOf(graph, "aws:ec2/vpcEndpoint:VpcEndpoint", "NetworkEndpointSqs").inputs;
    expect(sqs).toMatchObject({ serviceName: "com.amazonaws.us-east-1.sqs", privateDnsEnabled: true });
    const s3 = resourceOf(graph, "aws:ec2/vpcEndpoint:VpcEndpoint", "NetworkEndpointS3").inputs;
    expect(s3.routeTableIds).toHaveLength(2);
    const into = resourcesOf(graph, INBOUND).filter(({ inputs }) => inputs.securityGroupId === "<id of EndpointGroup>");
    expect(into.map(({ inputs }) => [inputs.referencedSecurityGroupId, inputs.fromPort]).sort()).toEqual([
      ["<id of FunctionGroup>", 443],
      ["<id of WorkerGroup>", 443],
    ]);
  });

  it("describes groups in characters that EC2 takes", () => {
    for (const { inputs } of resourcesOf(graph, "aws:ec2/securityGroup:SecurityGroup"))
      expect(inputs.description).toMatch(/^[\w .:/()#,@[\]+=&;{}!$*-]{1,255}$/);
  });

  it("lets in by security group alone, never by address", () => {
    const inbound = resourcesOf(graph, INBOUND);
    expect(inbound.length).toBeGreaterThan(0);
    for (const { inputs } of inbound) {
      expect(inputs.referencedSecurityGroupId).toBeDefined();
      expect(inputs.cidrIpv4).toBeUndefined();
    }
  });
});
