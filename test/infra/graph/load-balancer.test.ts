import { beforeAll, expect, it } from "vitest";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { aContainerPlan, aContainerService, anEntry, anHttpGpuService, deployContainers } from "./container-plans.ts";

const INBOUND = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule";
const TARGET = "aws:lb/targetGroup:TargetGroup";

let graph: Graph;
beforeAll(async () => {
  const painter = anHttpGpuService({ timeout: 5000 });
  const second = anHttpGpuService({
    name: "Upscaler",
    task: { ...painter.task, physicalName: "gallery-test-upscaler" },
  });
  const resizer = aContainerService({ queue: undefined, timeout: 30, environment: { PORT: "8080" } });
  const plan = aContainerPlan([painter, second, resizer, anEntry()]);
  const edges = [...plan.edges, { caller: "Entry", callee: "Resizer", transport: "http" as const }];
  graph = await synthesize(() => deployContainers({ ...plan, edges }));
  expect(graph.error).toBeUndefined();
});

it("is internal and waits for the longest call, as far as AWS lets it", () => {
  expect(resourceOf(graph, "aws:lb/loadBalancer:LoadBalancer").inputs).toMatchObject({
    internal: true,
    idleTimeout: 4000,
  });
});

it("has a listener a service, on the plan's port", () => {
  const listeners = resourcesOf(graph, "aws:lb/listener:Listener");
  expect(listeners.map(({ name, inputs }) => [name, inputs.port])).toEqual([
    ["PainterListener", 8000],
    ["ResizerListener", 8002],
    ["UpscalerListener", 8001],
  ]);
});

it("sends calls to ready replicas, by instance and Docker's port on EC2, by address on Fargate", () => {
  const painter = resourceOf(graph, TARGET, "PainterTarget").inputs;
  expect(painter).toMatchObject({
    targetType: "instance",
    port: 3000,
    healthCheck: { path: "/readyz", matcher: "200" },
  });
  expect(resourceOf(graph, TARGET, "ResizerTarget").inputs).toMatchObject({ targetType: "ip", port: 8080 });
});

it("lets calls end that a leaving replica has, for as long as they may take or AWS waits", () => {
  expect(resourceOf(graph, TARGET, "ResizerTarget").inputs.deregistrationDelay).toBe(30);
  expect(resourceOf(graph, TARGET, "PainterTarget").inputs.deregistrationDelay).toBe(3600);
});

it("may be replaced beside itself: its name is AWS's to make", () => {
  for (const { inputs } of resourcesOf(graph, TARGET)) {
    expect(inputs.name).toBeUndefined();
    expect(String(inputs.namePrefix).length).toBeLessThanOrEqual(6);
  }
});

it("lets in only those who call a service, and only it reaches workers", () => {
  const inbound = resourcesOf(graph, INBOUND)
    .filter(({ inputs }) => inputs.securityGroupId !== "<id of EndpointGroup>")
    .map(({ inputs }) => [inputs.securityGroupId, inputs.referencedSecurityGroupId, inputs.fromPort, inputs.toPort]);
  expect(inbound.sort()).toEqual([
    ["<id of LoadBalancerGroup>", "<id of FunctionGroup>", 8002, 8002],
    ["<id of LoadBalancerGroup>", "<id of WorkerGroup>", 8000, 8000],
    ["<id of LoadBalancerGroup>", "<id of WorkerGroup>", 8001, 8001],
    // Once for both GPU services: AWS refuses the same rule twice.
    ["<id of WorkerGroup>", "<id of LoadBalancerGroup>", 32_768, 65_535],
    ["<id of WorkerGroup>", "<id of LoadBalancerGroup>", 8080, 8080],
  ]);
});

it("gives services its URLs, and makes each service after its listener", () => {
  expect(graph.outputs.Painter).toMatch(/^http:\/\/internal-gallery-test-internal-.*:8000$/);
  const service = resourceOf(graph, "aws:ecs/service:Service", "PainterService");
  expect(service.dependencies.map((urn) => urn.split("::").at(-1))).toContain("PainterListener");
  expect(service.inputs).toMatchObject({
    loadBalancers: [{ containerName: "Painter", containerPort: 3000 }],
    healthCheckGracePeriodSeconds: 600,
  });
});
