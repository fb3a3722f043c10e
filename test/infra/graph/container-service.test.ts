import { beforeAll, expect, it } from "vitest";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { aContainerPlan, aContainerService, deployContainers } from "./container-plans.ts";

let graph: Graph;
beforeAll(async () => {
  graph = await synthesize(() => deployContainers(aContainerPlan([aContainerService()])));
  expect(graph.error).toBeUndefined();
});

it("is a Fargate task of the plan's size", () => {
  expect(resourceOf(graph, "aws:ecs/taskDefinition:TaskDefinition").inputs).toMatchObject({
    requiresCompatibilities: ["FARGATE"],
    networkMode: "awsvpc",
    cpu: "4096",
    memory: "16384",
    runtimePlatform: { cpuArchitecture: "X86_64", operatingSystemFamily: "LINUX" },
  });
});

it("has the image without a GPU's libraries", () => {
  expect(resourceOf(graph, "docker-build:index:Image").inputs.target).toBe("cpu");
});

it("leaves by a public address, and has no way in", () => {
  expect(resourceOf(graph, "aws:ecs/service:Service").inputs).toMatchObject({
    capacityProviderStrategies: [{ capacityProvider: "FARGATE", weight: 1, base: 0 }],
    networkConfiguration: { assignPublicIp: true, securityGroups: ["<id of WorkerGroup>"] },
  });
  const containers = JSON.parse(
    String(resourceOf(graph, "aws:ecs/taskDefinition:TaskDefinition").inputs.containerDefinitions),
  );
  expect(containers[0].portMappings).toEqual([]);
  // Fargate refuses a task definition with shared memory.
  expect(containers[0].linuxParameters).toEqual({ initProcessEnabled: false, capabilities: { drop: ["ALL"] } });
});

it("has no instance", () => {
  expect(resourcesOf(graph, "aws:autoscaling/group:Group")).toEqual([]);
  expect(
    resourceOf(graph, "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders").inputs.capacityProviders,
  ).toEqual(["FARGATE"]);
});

it("runs on arm64 where the plan says so", async () => {
  const service = aContainerService();
  const image = { ...service.task.image, platform: "linux/arm64" } as const;
  const arm = await synthesize(() =>
    deployContainers(aContainerPlan([{ ...service, task: { ...service.task, image } }])),
  );
  expect(resourceOf(arm, "docker-build:index:Image").inputs.platforms).toEqual(["linux/arm64"]);
  expect(resourceOf(arm, "aws:ecs/taskDefinition:TaskDefinition").inputs.runtimePlatform).toMatchObject({
    cpuArchitecture: "ARM64",
  });
});
