import { beforeAll, describe, expect, it } from "vitest";
import { deploy } from "#infra/deploy.ts";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { fingerprintOf } from "#infra/resources/canary-split.ts";
import { readSplit } from "#shared/lambda/canary-split.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { planned, SEED } from "../plan/planned.ts";
import type { Inputs } from "../platform.ts";
import { type Graph, synthesize } from "../synth.ts";

const CONFIG = `name: gallery
services:
  SDXLControlNetService: { instance_type: gpu.l4.1, scaling: { min_replicas: 1, max_replicas: 2 } }
canary:
  route_type: query
  route_by: user
  versions:
    lean: { weight: 20, services: { ControlNet: { instance_type: cpu.4 } } }
    next:
      weight: 5
      services: { SDXLControlNetService: { aws: { model_url: "s3://weights/next/" }, scaling: { min_replicas: 0 } } }
`;
const LAMBDA = "aws:lambda/function:Function";
const ARN = "arn:aws:lambda:us-east-1:123456789012:function:";

let plan: DeploymentPlan;
let graph: Graph;
beforeAll(async () => {
  ({ plan } = planned(SEED, CONFIG, { stage: "test" }));
  graph = await synthesize(() => deploy(plan));
  expect(graph.error).toBeUndefined();
});

function variables(name: string): Record<string, string> {
  const { environment } = resourceOf(graph, LAMBDA, name).inputs as {
    environment: { variables: Record<string, string> };
  };
  return environment.variables;
}

/** What a role may do to functions and queues. */
function grants(role: string, action: RegExp): string[] {
  const { inlinePolicies } = resourceOf(graph, "aws:iam/role:Role", role).inputs as {
    inlinePolicies: { policy: string }[];
  };
  return inlinePolicies.flatMap(({ policy }) => {
    const { Statement } = (typeof policy === "string" ? JSON.parse(policy) : policy) as {
      Statement: { Action: string | string[]; Resource: string | string[] }[];
    };
    return Statement.filter(({ Action }) => [Action].flat().some((one) => action.test(one))).flatMap(
      ({ Resource }) => Resource,
    );
  });
}

describe("the entry", () => {
  it("is told how its calls are split, as its router reads it", () => {
    const split = readSplit(variables("ControlNetFunction").TANDEM_CANARY!);
    expect(split).toEqual({
      routeType: "query",
      routeBy: "user",
      versions: [
        {
          label: "lean",
          weight: 20,
          functionName: `${ARN}gallery-test-controlnet-lean:live`,
          fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
        },
        {
          label: "next",
          weight: 5,
          functionName: `${ARN}gallery-test-controlnet-next:live`,
          fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
        },
      ],
    });
    expect(split.versions[0]!.fingerprint).not.toBe(split.versions[1]!.fingerprint);
  });

  it("may invoke the versions' entries, and looks which were taken off", () => {
    expect(grants("ControlNetRole", /^lambda:/)).toEqual([
      `${ARN}gallery-test-controlnet-lean:live`,
      `${ARN}gallery-test-controlnet-next:live`,
    ]);
    expect(grants("ControlNetRole", /^s3:GetObject/)).toContainEqual(
      expect.stringMatching(/^arn:aws:s3:::[\w-]+\/tandem\/canary-off\/\*$/),
    );
    expect(grants("ControlNetQueueRunnerRole", /^lambda:/)).toEqual([]);
  });

  it("is there after the versions whose calls it hands over", () => {
    const { dependencies } = resourceOf(graph, LAMBDA, "ControlNetFunction");
    expect(dependencies).toContain(
      resourceOf(graph, "aws:cloudformation/stack:Stack", "ControlNetVersionNextLive").urn,
    );
  });
});

describe("a version", () => {
  it("hands no call over itself, and says whose its figures are", () => {
    for (const [name, label] of [
      ["ControlNetVersionLeanFunction", "lean"],
      ["ControlNetVersionNextQueueRunnerFunction", "next"],
    ] as const) {
      expect(variables(name)).toMatchObject({ TANDEM_VERSION: label });
      expect(variables(name)).not.toHaveProperty("TANDEM_CANARY");
    }
    expect(variables("ControlNetFunction")).not.toHaveProperty("TANDEM_VERSION");
    expect(variables("ControlNetVersionLeanFunction").TANDEM_INVOKE_MODE).toBe("RESPONSE_STREAM");
  });

  it("has a queue of its own, and calls its own services, or else the main version's", () => {
    const queues = (name: string): Record<string, string | undefined> => {
      const services = JSON.parse(variables(name).TANDEM_SERVICES!) as Record<string, { queueUrl: string }>;
      return Object.fromEntries(
        Object.entries(services).map(([service, { queueUrl }]) => [service, queueUrl.split("/").at(-1)]),
      );
    };
    expect(queues("ControlNetFunction")).toEqual({
      ControlNet: "gallery-test-controlnet-queue",
      SDXLControlNetService: "gallery-test-sdxlcontrolnetservice-queue",
    });
    expect(queues("ControlNetVersionLeanFunction")).toEqual({
      ControlNet: "gallery-test-controlnet-lean-queue",
      SDXLControlNetService: "gallery-test-sdxlcontrolnetservice-queue",
    });
    expect(queues("ControlNetVersionNextFunction")).toEqual({
      ControlNet: "gallery-test-controlnet-next-queue",
      SDXLControlNetService: "gallery-test-sdxlcontrolnetservice-next-queue",
    });
  });

  it("may use those queues and no others", () => {
    const queue = (name: string) => `arn:aws:sqs:us-east-1:123456789012:gallery-test-${name}`;
    expect(grants("ControlNetVersionNextRole", /^sqs:SendMessage/).sort()).toEqual(
      [
        queue("controlnet-next-priority"),
        queue("controlnet-next-queue"),
        queue("sdxlcontrolnetservice-next-priority"),
        queue("sdxlcontrolnetservice-next-queue"),
      ].sort(),
    );
    expect(grants("ControlNetVersionLeanRole", /^lambda:/)).toEqual([]);
  });

  it("runs the services that differ beside the main version's", () => {
    const services = resourcesOf(graph, "aws:ecs/service:Service").map(({ inputs }) => inputs.name);
    expect(services).toEqual(["gallery-test-sdxlcontrolnetservice", "gallery-test-sdxlcontrolnetservice-next"]);
    const urns = graph.resources.map(({ urn }) => urn);
    expect(urns.filter((urn, index) => urns.indexOf(urn) !== index)).toEqual([]);
    const tags = resourceOf(graph, LAMBDA, "ControlNetVersionNextFunction").inputs.tags as Inputs;
    expect(tags).toMatchObject({ "tandem:service": "ControlNet", "tandem:version": "next" });
  });
});

describe("a version that fails", () => {
  const alarm = (): Inputs =>
    resourceOf(graph, "aws:cloudwatch/metricAlarm:MetricAlarm", "ControlNetVersionNextErrorsAlarm").inputs;

  it("has an alarm that tells people, and invokes the function that takes its calls off", () => {
    expect(alarm().alarmActions).toEqual([
      "arn:aws:sns:us-east-1:123456789012:gallery-test-alarms",
      `${ARN}gallery-test-canary-rollback`,
    ]);
    const permission = resourceOf(graph, "aws:lambda/permission:Permission", "ControlNetVersionNextRollbackPermission");
    expect(permission.inputs).toMatchObject({
      function: "gallery-test-canary-rollback",
      principal: "lambda.alarms.cloudwatch.amazonaws.com",
      sourceAccount: "123456789012",
      sourceArn: expect.stringMatching(/alarm/),
    });
  });

  it("rings for calls that were handed over, and for those in its queue, of at least three and over 5 percent", () => {
    const queries = alarm().metricQueries as {
      expression?: string;
      metric?: { metricName: string; dimensions: Inputs };
    }[];
    const metrics = queries.flatMap(({ metric }) =>
      metric ? [[metric.metricName, Object.values(metric.dimensions).join()]] : [],
    );
    expect(metrics).toEqual([
      ["Versions.next.Failed", "ControlNet"],
      ["Deliveries.failed.5xx", "ControlNet,next"],
      ["Deliveries.redelivered", "ControlNet,next"],
      ["Deliveries.dead", "ControlNet,next"],
      ["Errors", "gallery-test-controlnet-next-queue"],
      ["Versions.next.Answered", "ControlNet"],
      ["Deliveries.run", "ControlNet,next"],
      ["Deliveries.failed", "ControlNet,next"],
    ]);
    const failed = "FILL(SUM([answers_failed, faults, redelivered, dead, crashed]), 0)";
    const all = "FILL(SUM([answers_failed, redelivered, dead, crashed, answered, run, failed]), 0)";
    expect(queries.at(-1)?.expression).toBe(`IF(${failed} >= 3, 100 * ${failed} / ${all}, 0)`);
  });

  it("is known to that function by its alarm, with the fingerprint that the entry looks for", () => {
    const { TANDEM_CANARY_ALARMS, TANDEM_STORE } = variables("CanaryRollbackFunction");
    const { versions } = readSplit(variables("ControlNetFunction").TANDEM_CANARY!);
    expect(JSON.parse(TANDEM_CANARY_ALARMS!)).toEqual(
      Object.fromEntries(
        versions.map(({ label, fingerprint }) => [
          `gallery-test-controlnet-${label}-version-errors`,
          { label, fingerprint },
        ]),
      ),
    );
    expect(TANDEM_STORE).toBe(variables("ControlNetFunction").TANDEM_STORE);
    expect(grants("CanaryRollbackRole", /^(?!logs:)/)).toEqual([expect.stringMatching(/\/tandem\/canary-off\/\*$/)]);
  });

  it("leaves the main version's rollouts and alarms alone: its services have figures of their own", () => {
    const idle = (name: string) => {
      const { metricQueries } = resourceOf(graph, "aws:cloudwatch/metricAlarm:MetricAlarm", name).inputs;
      return (metricQueries as { metric?: { dimensions: Inputs } }[])[0]!.metric!.dimensions;
    };
    expect(idle("SDXLControlNetServiceGpuIdleAlarm")).toEqual({ Service: "SDXLControlNetService" });
    expect(idle("SDXLControlNetServiceVersionNextGpuIdleAlarm")).toEqual({
      Service: "SDXLControlNetService",
      Version: "next",
    });
  });
});

it("shows on the dashboard what became of the calls that were handed over", () => {
  const { dashboardBody } = resourceOf(graph, "aws:cloudwatch/dashboard:Dashboard").inputs;
  const { widgets } = JSON.parse(dashboardBody as string) as {
    widgets: { properties: { title?: string; metrics: string[][] } }[];
  };
  const widget = widgets.find(({ properties }) => properties.title === "Calls handed over");
  expect(widget?.properties.metrics.map(([, name, , service]) => `${service} ${name}`)).toEqual(
    ["lean", "next"].flatMap((label) =>
      ["Answered", "Failed", "Unreachable"].map((outcome) => `ControlNet Versions.${label}.${outcome}`),
    ),
  );
});

it("has another fingerprint after each change of one of its functions or tasks, and else the same", async () => {
  const { outputs } = await synthesize(() => {
    const of = (...revisions: string[]) => fingerprintOf({ revisions });
    return { first: of("1", "4"), same: of("1", "4"), second: of("2", "4"), third: of("1", "5") };
  });
  const { first, same, second, third } = outputs;
  expect(first).toBe(same);
  expect(new Set([first, second, third]).size).toBe(3);
});

it("may have a GPU service of its own on Lambda beside the main version's containers", async () => {
  const config = CONFIG.replace("scaling: { min_replicas: 0 }", "aws: { backend: lambda }").replace(
    'aws: { model_url: "s3://weights/next/" }, ',
    "",
  );
  const both = await synthesize(() => deploy(planned(SEED, config, { stage: "test" }).plan));
  expect(both.error).toBeUndefined();
  const stack = resourceOf(both, "aws:cloudformation/stack:Stack", "SDXLControlNetServiceVersionNextFunction");
  expect(stack.inputs).toMatchObject({
    name: "gallery-test-sdxlcontrolnetservice-next",
    tags: { "tandem:service": "SDXLControlNetService", "tandem:version": "next" },
  });
  expect(resourcesOf(both, "aws:ecs/service:Service")).toHaveLength(1);
});

it("in sst dev all calls are the main version's", async () => {
  const dev = await synthesize(() => deploy(plan), { dev: true });
  expect(dev.error).toBeUndefined();
  expect(dev.resources.filter(({ name }) => /Version(Lean|Next)|CanaryRollback/.test(name))).toEqual([]);
  const { environment } = resourceOf(dev, LAMBDA, "ControlNetFunction").inputs as {
    environment: { variables: object };
  };
  expect(Object.keys(environment.variables)).not.toContain("TANDEM_CANARY");
});
