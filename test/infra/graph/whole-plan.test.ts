import { beforeAll, describe, expect, it } from "vitest";
import { deploy } from "#infra/deploy.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { planOf } from "./cpu-services.ts";

/** Deploys what a config file says of an entry with a GPU service and a CPU service behind it. */
async function deployed(yaml: string, options: Parameters<typeof synthesize>[1] = {}): Promise<Graph> {
  const graph = await synthesize(() => deploy(planOf(yaml, options.stage ? { stage: options.stage } : {})), options);
  expect(graph.error).toBeUndefined();
  return graph;
}

describe("a config file with a GPU service", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await deployed(`
name: gallery
services:
  Painter:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 0, max_replicas: 3 }
    deployment_strategy: RollingUpdate
`);
  });

  it("becomes one graph: the entry's URL, the store, and the GPU service on instances of its own", () => {
    expect(graph.outputs).toMatchObject({
      url: expect.stringMatching(/lambda-url/),
      store: expect.stringMatching(/^s3:/),
    });
    expect(resourceOf(graph, "aws:autoscaling/group:Group").inputs).toMatchObject({
      name: "gallery-test-painter-instances",
      minSize: 0,
      maxSize: 6,
    });
    expect(resourceOf(graph, "aws:ecs/service:Service").inputs).toMatchObject({
      name: "gallery-test-painter",
      deploymentMinimumHealthyPercent: 100,
      deploymentMaximumPercent: 200,
    });
    expect(resourceOf(graph, "aws:appautoscaling/target:Target").inputs).toMatchObject({
      minCapacity: 0,
      maxCapacity: 3,
    });
  });

  it("names each resource once: none takes another's place in Pulumi's state", () => {
    const urns = graph.resources.map(({ urn }) => urn);
    expect(urns.filter((urn, index) => urns.indexOf(urn) !== index)).toEqual([]);
  });

  it("has alarms that ring, in names of the plan's", () => {
    const alarms = resourcesOf(graph, "aws:cloudwatch/metricAlarm:MetricAlarm");
    expect(alarms.map(({ inputs }) => inputs.name)).toContain("gallery-test-painter-gpu-idle");
    for (const { inputs } of alarms) expect(inputs.alarmActions).toHaveLength(1);
  });
});

it("over HTTP, the entry is in the private network and knows the load balancer", async () => {
  const graph = await deployed(`
name: gallery
services:
  Painter:
    instance_type: gpu.l4.1
    config_overrides: { traffic: { external_queue: false } }
`);
  const entry = resourcesOf(graph, "aws:lambda/function:Function").find(
    ({ inputs }) => inputs.name === "gallery-test-studio",
  );
  expect(entry?.inputs.vpcConfig).toMatchObject({ securityGroupIds: ["<id of FunctionGroup>"] });
  const environment = entry?.inputs.environment as { variables: Record<string, string> };
  expect(JSON.parse(environment.variables.TANDEM_SERVICES!).Painter.url).toMatch(
    /^http:\/\/internal-gallery-test-internal.*:8000$/,
  );
});

it("sst dev has the queues and the functions, and a pane for the GPU service", async () => {
  const graph = await deployed("name: gallery\nservices: { Painter: { instance_type: gpu.l4.1 } }\n", { dev: true });
  const types = new Set(graph.resources.map(({ type }) => type));
  expect([...types].filter((type) => /^aws:(ecs|autoscaling|appautoscaling|ec2|lb|vpc)\//.test(type))).toEqual([]);
  expect(resourcesOf(graph, "sst:sst:DevCommand").map(({ name }) => name)).toContain("PainterDev");
});

it("sst dev keeps functions out of a network that is not there, and calls the desk", async () => {
  const graph = await deployed(
    "name: gallery\nservices:\n  Painter:\n    instance_type: gpu.l4.1\n    config_overrides: { traffic: { external_queue: false } }\n",
    { dev: true },
  );
  const entry = resourcesOf(graph, "aws:lambda/function:Function").find(
    ({ inputs }) => inputs.name === "gallery-test-studio",
  );
  expect(entry?.inputs.vpcConfig).toBeUndefined();
});

describe("names in a stage of 30 characters", () => {
  const stage = "a-stage-with-thirty-characters";
  const name = `g${"allery".repeat(10)}`;
  /** Longest names, and AWS's characters. */
  const rules: Record<string, readonly [field: string, rule: RegExp]> = {
    "aws:autoscaling/group:Group": ["name", /^[\x20-\x7e]{1,255}$/],
    "aws:cloudwatch/dashboard:Dashboard": ["dashboardName", /^[\w-]{1,255}$/],
    "aws:cloudwatch/metricAlarm:MetricAlarm": ["name", /^.{1,255}$/],
    "aws:ec2/launchTemplate:LaunchTemplate": ["name", /^[\w()./-]{3,128}$/],
    "aws:ecs/capacityProvider:CapacityProvider": ["name", /^(?!aws|ecs|fargate)[\w-]{1,255}$/],
    "aws:ecs/cluster:Cluster": ["name", /^[a-zA-Z][\w-]{0,254}$/],
    "aws:ecs/service:Service": ["name", /^[\w-]{1,255}$/],
    "aws:ecs/taskDefinition:TaskDefinition": ["family", /^[\w-]{1,255}$/],
    "aws:iam/instanceProfile:InstanceProfile": ["name", /^[\w+=,.@-]{1,128}$/],
    "aws:iam/role:Role": ["name", /^[\w+=,.@-]{1,64}$/],
    "aws:lb/loadBalancer:LoadBalancer": ["name", /^(?!internal-)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$/],
    "aws:sns/topic:Topic": ["name", /^[\w-]{1,256}$/],
    "aws:appautoscaling/policy:Policy": ["name", /^.{1,256}$/],
    "aws:cloudwatch/logGroup:LogGroup": ["name", /^[\w./#-]{1,512}$/],
  };

  for (const [transport, queued] of [
    ["by queue", true],
    ["over HTTP", false],
  ] as const)
    it(`are AWS's, calls ${transport}`, async () => {
      const graph = await deployed(
        `name: ${name}\nservices:\n  Painter:\n    instance_type: gpu.l4.1\n    scaling: { min_replicas: ${queued ? 0 : 1}, max_replicas: 2 }\n    config_overrides: { traffic: { external_queue: ${queued} } }\n`,
        { stage },
      );
      const checked = graph.resources.flatMap(({ type, inputs }) => {
        const [field, rule] = rules[type] ?? [];
        if (!field || inputs[field] === undefined) return [];
        expect(inputs[field], type).toMatch(rule!);
        return [type];
      });
      expect(new Set(checked).size).toBe(Object.keys(rules).length - (queued ? 1 : 0));
      for (const tag of resourceOf(graph, "docker-build:index:Image").inputs.tags as string[])
        expect(tag.split(":").at(-1)).toMatch(/^\w[\w.-]{0,127}$/);
    });
});
