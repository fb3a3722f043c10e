import { beforeAll, describe, expect, it } from "vitest";
import type { CapacityPlan, GpuContainerPlan } from "#infra/plan/deployment-plan.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { aContainerPlan, aContainerService, aGpuService, deployContainers } from "./container-plans.ts";

const GROUP = "aws:autoscaling/group:Group";
const TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate";

async function graphOf(service: GpuContainerPlan): Promise<Graph> {
  const graph = await synthesize(() => deployContainers(aContainerPlan([service])));
  expect(graph.error).toBeUndefined();
  return graph;
}

function withCapacity(changes: Partial<CapacityPlan>): GpuContainerPlan {
  const service = aGpuService();
  return { ...service, capacity: { ...service.capacity, ...changes } };
}

function bootScript(graph: Graph): string {
  return Buffer.from(String(resourceOf(graph, TEMPLATE).inputs.userData), "base64").toString();
}

describe("a GPU service's instances", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await graphOf(aGpuService());
  });

  it("boot ECS's GPU image of the day, with an encrypted disk and the second form of metadata only", () => {
    const { inputs } = resourceOf(graph, TEMPLATE);
    expect(inputs).toMatchObject({
      imageId: "<value of /aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id>",
      instanceType: "g6.xlarge",
      metadataOptions: { httpTokens: "required", httpPutResponseHopLimit: 1 },
      blockDeviceMappings: [{ ebs: { volumeType: "gp3", volumeSize: 100, encrypted: "true" } }],
      vpcSecurityGroupIds: ["<id of WorkerGroup>"],
    });
  });

  it("join the cluster and mount their own disk for weights", () => {
    expect(bootScript(graph)).toContain("ECS_CLUSTER=gallery-test-painter\n");
    expect(bootScript(graph)).toContain("mkfs.xfs");
  });

  it("have no key pair; a shell is opened by Session Manager", () => {
    expect(resourceOf(graph, TEMPLATE).inputs.keyName).toBeUndefined();
    const policies = resourcesOf(graph, "aws:iam/rolePolicyAttachment:RolePolicyAttachment");
    expect(policies.map(({ inputs }) => inputs.policyArn)).toEqual([
      "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role",
      "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
    ]);
  });

  it("carry the deployment's tags, on volumes and interfaces too, for the bill", () => {
    const tags = { "tandem:deployment": "gallery", "tandem:stage": "test", "tandem:service": "Painter" };
    const specifications = resourceOf(graph, TEMPLATE).inputs.tagSpecifications as {
      resourceType: string;
      tags: object;
    }[];
    expect(specifications.map(({ resourceType }) => resourceType)).toEqual(["volume", "network-interface"]);
    for (const specification of specifications) expect(specification.tags).toMatchObject(tags);
    const ofGroup = resourceOf(graph, GROUP).inputs.tags as {
      key: string;
      value: string;
      propagateAtLaunch: boolean;
    }[];
    expect(Object.fromEntries(ofGroup.map(({ key, value }) => [key, value]))).toMatchObject({
      ...tags,
      AmazonECSManaged: "true",
    });
    expect(ofGroup.every(({ propagateAtLaunch }) => propagateAtLaunch)).toBe(true);
  });

  it("are as many as ECS wants: between the plan's least and most, and what AWS has at the moment of deploying", () => {
    const { inputs, options } = resourceOf(graph, GROUP);
    expect(inputs).toMatchObject({ minSize: 0, maxSize: 4, waitForCapacityTimeout: "0" });
    expect(options.ignoreChanges).toEqual(["desiredCapacity"]);
    expect(inputs.vpcZoneIdentifiers).toHaveLength(3);
    expect(
      resourceOf(graph, "aws:ecs/capacityProvider:CapacityProvider").inputs.autoScalingGroupProvider,
    ).toMatchObject({
      managedScaling: { status: "ENABLED", targetCapacity: 100, instanceWarmupPeriod: 90 },
    });
  });

  it("are never taken from under a task: protected, drained, and replaced beside the old one", () => {
    expect(resourceOf(graph, GROUP).inputs).toMatchObject({
      protectFromScaleIn: true,
      instanceMaintenancePolicy: { minHealthyPercentage: 100, maxHealthyPercentage: 200 },
      instanceRefresh: {
        strategy: "Rolling",
        preferences: { scaleInProtectedInstances: "Refresh", skipMatching: true },
      },
    });
    expect(
      resourceOf(graph, "aws:ecs/capacityProvider:CapacityProvider").inputs.autoScalingGroupProvider,
    ).toMatchObject({
      managedTerminationProtection: "ENABLED",
      managedDraining: "ENABLED",
    });
  });

  it("go in one go when the deployment is removed, protected as they are", () => {
    expect(resourceOf(graph, GROUP).inputs).toMatchObject({ forceDelete: true, forceDeleteWarmPool: true });
  });

  it("of one type on demand need no policy of a mix", () => {
    const { inputs } = resourceOf(graph, GROUP);
    expect(inputs.launchTemplate).toEqual({ id: "<id of PainterTemplate>", version: "1" });
    expect(inputs.mixedInstancesPolicy).toBeUndefined();
    expect(inputs.warmPool).toBeUndefined();
    expect(inputs.capacityRebalance).toBe(false);
  });
});

describe("what the plan may say of capacity", () => {
  it("types in their order, and a share of Spot over the least", async () => {
    const graph = await graphOf(
      withCapacity({ instanceTypes: ["g6.xlarge", "g5.xlarge"], spotPercent: 40, minInstances: 1 }),
    );
    const { inputs } = resourceOf(graph, GROUP);
    expect(inputs.capacityRebalance).toBe(true);
    expect(inputs.launchTemplate).toBeUndefined();
    expect(inputs.mixedInstancesPolicy).toMatchObject({
      launchTemplate: { overrides: [{ instanceType: "g6.xlarge" }, { instanceType: "g5.xlarge" }] },
      instancesDistribution: {
        onDemandBaseCapacity: 1,
        onDemandPercentageAboveBaseCapacity: 60,
        onDemandAllocationStrategy: "prioritized",
        spotAllocationStrategy: "capacity-optimized-prioritized",
      },
    });
  });

  it("a warm pool of so many stopped instances, whatever is missing to the group's most", async () => {
    const graph = await graphOf(withCapacity({ warmPool: 2 }));
    expect(resourceOf(graph, GROUP).inputs.warmPool).toEqual({
      poolState: "Stopped",
      minSize: 2,
      maxGroupPreparedCapacity: 2,
    });
  });

  it("an AMI of one's own", async () => {
    const graph = await graphOf(withCapacity({ ami: "ami-0123456789abcdef0", rootVolume: 200 }));
    expect(resourceOf(graph, TEMPLATE).inputs).toMatchObject({
      imageId: "ami-0123456789abcdef0",
      blockDeviceMappings: [{ ebs: { volumeSize: 200 } }],
    });
    expect(graph.calls.some(({ token }) => token.includes("ssm/getParameter"))).toBe(false);
    // Its weights are on its root volume: no disk is mounted over them.
    expect(bootScript(graph)).not.toContain("mkfs");
    expect(bootScript(graph)).toContain("ECS_IMAGE_PULL_BEHAVIOR=prefer-cached");
  });
});

describe("the cluster", () => {
  it("is the service's own, with Container Insights and the one capacity provider: a service goes without the others", async () => {
    const painter = aGpuService();
    const upscaler = aGpuService({
      name: "Upscaler",
      task: { ...painter.task, physicalName: "gallery-test-upscaler" },
      capacity: { ...painter.capacity, physicalName: "gallery-test-upscaler-instances" },
    });
    const graph = await synthesize(() => deployContainers(aContainerPlan([painter, upscaler, aContainerService()])));
    expect(graph.error).toBeUndefined();
    const clusters = resourcesOf(graph, "aws:ecs/cluster:Cluster");
    expect(clusters.map(({ inputs }) => inputs.name)).toEqual([
      "gallery-test-painter",
      "gallery-test-resizer",
      "gallery-test-upscaler",
    ]);
    for (const { inputs } of clusters)
      expect(inputs.settings).toEqual([{ name: "containerInsights", value: "enabled" }]);
    // SST's Cluster writes FARGATE and FARGATE_SPOT here: infra/resources/cluster.ts puts the list in its place.
    const lists = resourcesOf(graph, "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders");
    expect(lists.map(({ inputs }) => inputs.capacityProviders)).toEqual([
      ["gallery-test-painter-instances"],
      ["FARGATE"],
      ["gallery-test-upscaler-instances"],
    ]);
  });

  it("is there before instances boot, and its list before services: one deployment makes all, one removal ends all", async () => {
    const graph = await graphOf(aGpuService());
    const needs = (type: string) => resourceOf(graph, type).dependencies.map((urn) => urn.split("::").at(-1));
    expect(needs(GROUP)).toContain("PainterClusterCluster");
    expect(needs("aws:ecs/capacityProvider:CapacityProvider")).toContain("PainterGroup");
    expect(needs("aws:ecs/clusterCapacityProviders:ClusterCapacityProviders")).toContain("PainterCapacity");
    expect(needs("aws:ecs/service:Service")).toContain("PainterClusterCapacityProviders");
  });
});
