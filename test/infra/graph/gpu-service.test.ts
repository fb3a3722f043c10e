import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import type { AlarmPlan, GpuContainerPlan, TaskPlan } from "#infra/plan/deployment-plan.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { aContainerPlan, aGpuService, anHttpGpuService, deployContainers } from "./container-plans.ts";

const TASK = "aws:ecs/taskDefinition:TaskDefinition";
const SERVICE = "aws:ecs/service:Service";
const ROLE = "aws:iam/role:Role";

interface Statement {
  Action: string | string[];
  Resource: string | string[];
}

async function graphOf(service: GpuContainerPlan, changes: Parameters<typeof aContainerPlan>[1] = {}): Promise<Graph> {
  const graph = await synthesize(() => deployContainers(aContainerPlan([service], changes)));
  expect(graph.error).toBeUndefined();
  return graph;
}

function withTask(changes: Partial<TaskPlan>, others: Partial<GpuContainerPlan> = {}): GpuContainerPlan {
  const service = aGpuService(others);
  return { ...service, task: { ...service.task, ...changes } };
}

function containerOf(graph: Graph): Record<string, unknown> {
  const containers = JSON.parse(String(resourceOf(graph, TASK).inputs.containerDefinitions));
  expect(containers).toHaveLength(1);
  return containers[0];
}

function statementsOf(graph: Graph, role: string): Statement[] {
  const policies = resourceOf(graph, ROLE, role).inputs.inlinePolicies as { policy: string }[];
  return policies.flatMap(({ policy }) => JSON.parse(policy).Statement);
}

describe("a GPU service's task", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await graphOf(aGpuService());
  });

  it("is SST's Fargate task turned to EC2, on the instance's network", () => {
    const { inputs } = resourceOf(graph, TASK);
    expect(inputs).toMatchObject({
      family: "gallery-test-painter",
      requiresCompatibilities: ["EC2"],
      networkMode: "host",
    });
    for (const field of ["cpu", "memory", "ephemeralStorage", "runtimePlatform"]) expect(inputs[field]).toBeUndefined();
  });

  it("reserves GPUs, cores and memory; memory is no limit", () => {
    const container = containerOf(graph);
    expect(container).toMatchObject({
      cpu: 4096,
      memoryReservation: 14_000,
      resourceRequirements: [{ type: "GPU", value: "1" }],
    });
    expect(container.memory).toBeUndefined();
  });

  it("has the image that SST builds of the plan's Dockerfile and pushes, by its digest", () => {
    const image = resourceOf(graph, "docker-build:index:Image").inputs;
    expect(image).toMatchObject({ platforms: ["linux/amd64"], buildArgs: { BASE: "cuda" }, push: true });
    expect((image.dockerfile as { location: string }).location).toMatch(/\/gpu-worker\/Dockerfile$/);
    expect(image.tags).toContain("123456789012.dkr.ecr.us-east-1.amazonaws.com/sst-asset:gallery-test-painter");
    expect(containerOf(graph).image).toMatch(/\/sst-asset@sha256:[0-9a-f]{64}$/);
  });

  it("stops after its stop timeout, with the image's own init process, without capabilities of root", async () => {
    const container = containerOf(graph);
    expect(container).toMatchObject({ stopTimeout: 120, essential: true, pseudoTerminal: false, portMappings: [] });
    expect(container.linuxParameters).toEqual({
      initProcessEnabled: false,
      capabilities: { drop: ["ALL"] },
      sharedMemorySize: 1024,
    });
    expect(await readFile("gpu-worker/Dockerfile", "utf8")).toContain('ENTRYPOINT ["/usr/bin/tini", "--"]');
  });

  it("is healthy once it is ready, and has ten minutes for it", () => {
    expect(containerOf(graph).healthCheck).toEqual({
      command: ["CMD", "node", "gpu-worker/health-check.ts", "/readyz"],
      startPeriod: 300,
      interval: 30,
      timeout: 10,
      retries: 10,
    });
  });

  it("keeps weights on the instance, for the tasks that follow", () => {
    expect(resourceOf(graph, TASK).inputs.volumes).toEqual([{ name: "weights", hostPath: "/var/lib/tandem/weights" }]);
    expect(containerOf(graph).mountPoints).toEqual([
      { sourceVolume: "weights", containerPath: "/models", readOnly: false },
    ]);
  });

  it("writes a log that is kept as long as the plan says, and does not wait for it", () => {
    expect(resourceOf(graph, "aws:cloudwatch/logGroup:LogGroup").inputs).toMatchObject({
      name: "/tandem/gallery-test-painter",
      retentionInDays: 14,
    });
    expect(containerOf(graph).logConfiguration).toMatchObject({
      logDriver: "awslogs",
      options: { "awslogs-group": "/tandem/gallery-test-painter", mode: "non-blocking" },
    });
  });

  it("is told its service, region, store and queue", () => {
    const environment = containerOf(graph).environment as { name: string; value: string }[];
    const value = (variable: string) => environment.find(({ name }) => name === variable)?.value;
    expect(value("TANDEM_SERVICE")).toBe("Painter");
    expect(value("AWS_REGION")).toBe("us-east-1");
    expect(value("TANDEM_STORE")).toBe("s3://gallery-store");
    expect(JSON.parse(value("TANDEM_SERVICES")!).Painter.queueUrl).toContain("gallery-test-painter");
  });

  it("may do what the plan says and nothing of SST's, for this account's tasks only", () => {
    expect(statementsOf(graph, "PainterTaskRole").map(({ Action, Resource }) => [Action, Resource])).toEqual([
      ["sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:123456789012:gallery-test-painter"],
      ["s3:GetObject", "arn:aws:s3:::models/sdxl/*"],
      ["ecs:UpdateTaskProtection", "arn:aws:ecs:us-east-1:123456789012:task/gallery-test-painter/*"],
    ]);
    const trust = JSON.parse(String(resourceOf(graph, ROLE, "PainterTaskRole").inputs.assumeRolePolicy));
    expect(trust.Statement[0].Condition).toEqual({ StringEquals: { "aws:SourceAccount": "123456789012" } });
  });

  it("is started with the least that this takes: the image, the log", () => {
    const { inputs } = resourceOf(graph, ROLE, "PainterExecutionRole");
    expect(inputs.managedPolicyArns).toEqual([]);
    expect(statementsOf(graph, "PainterExecutionRole").map(({ Action, Resource }) => [Action, Resource])).toEqual([
      ["ecr:GetAuthorizationToken", "*"],
      [
        ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "arn:aws:ecr:us-east-1:123456789012:repository/sst-asset",
      ],
      [
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        "arn:aws:logs:us-east-1:123456789012:log-group:/tandem/gallery-test-painter:*",
      ],
    ]);
  });

  it("keeps the revision before, to which a rollback goes", () => {
    expect(resourceOf(graph, TASK).inputs.skipDestroy).toBe(true);
  });
});

describe("a GPU service", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await graphOf(aGpuService());
  });

  it("is SST's Fargate service turned onto its own instances", () => {
    const { inputs } = resourceOf(graph, SERVICE);
    expect(inputs.capacityProviderStrategies).toEqual([
      { capacityProvider: "gallery-test-painter-instances", weight: 1, base: 0 },
    ]);
    expect(inputs.launchType).toBeUndefined();
    expect(inputs.networkConfiguration).toBeUndefined();
    expect(inputs.serviceRegistries).toBeUndefined();
    expect(inputs).toMatchObject({
      name: "gallery-test-painter",
      enableExecuteCommand: false,
      waitForSteadyState: false,
    });
  });

  it("begins with the least replicas; how many there are then is scaling's", () => {
    const { inputs, options } = resourceOf(graph, SERVICE);
    expect(inputs.desiredCount).toBe(0);
    expect(options.ignoreChanges).toContain("desiredCount");
  });

  it("spreads replicas over zones, and fills instances", () => {
    expect(resourceOf(graph, SERVICE).inputs.orderedPlacementStrategies).toEqual([
      { type: "spread", field: "attribute:ecs.availability-zone" },
      { type: "binpack", field: "memory" },
    ]);
  });

  it("hands its tags to tasks, and ends its tasks when it is removed", () => {
    expect(resourceOf(graph, SERVICE).inputs).toMatchObject({
      propagateTags: "SERVICE",
      tags: { "tandem:service": "Painter" },
      forceDelete: true,
    });
  });

  it("Recreate: stops all, then starts the new ones; goes back by itself when they do not start", () => {
    expect(resourceOf(graph, SERVICE).inputs).toMatchObject({
      deploymentMinimumHealthyPercent: 0,
      deploymentMaximumPercent: 100,
      deploymentCircuitBreaker: { enable: true, rollback: true },
    });
    expect(resourceOf(graph, SERVICE).inputs.alarms).toBeUndefined();
  });

  it("has a port of Docker's on the instance behind the load balancer", async () => {
    const http = await graphOf(anHttpGpuService());
    expect(resourceOf(http, TASK).inputs).toMatchObject({ networkMode: "bridge", volumes: [] });
    expect(containerOf(http).portMappings).toEqual([{ containerPort: 3000, hostPort: 0, protocol: "tcp" }]);
  });
});

describe("rollouts", () => {
  const alarm = (metric: AlarmPlan["metric"]): AlarmPlan => ({
    physicalName: `gallery-test-painter-${metric}`,
    service: "Painter",
    metric,
    threshold: 5,
    period: 60,
    periods: 5,
    description: "",
  });

  it("RampedSlowRollout: a replica counts only after it has been watched", async () => {
    const slow = withTask(
      { minimumHealthyPercent: 100, maximumPercent: 125, bakeSeconds: 300 },
      { strategy: "RampedSlowRollout" },
    );
    const graph = await graphOf(slow);
    expect(resourceOf(graph, SERVICE).inputs).toMatchObject({
      deploymentMinimumHealthyPercent: 100,
      deploymentMaximumPercent: 125,
    });
    // Docker asks more often while a start period lasts.
    expect(containerOf(graph).healthCheck).toMatchObject({ startPeriod: 0, interval: 300, retries: 2 });
  });

  it("BestEffortControlledRollout: alarms of errors and of dead letters roll back, others do not", async () => {
    const controlled = withTask({}, { strategy: "BestEffortControlledRollout" });
    const graph = await graphOf(controlled, {
      alarms: [alarm("error-rate"), alarm("dead-letters"), alarm("gpu-idle")],
    });
    const { inputs, dependencies } = resourceOf(graph, SERVICE);
    expect(inputs.alarms).toEqual({
      enable: true,
      rollback: true,
      alarmNames: ["gallery-test-painter-error-rate", "gallery-test-painter-dead-letters"],
    });
    expect(dependencies.map((urn) => urn.split("::").at(-1))).toContain("PainterErrorRateAlarm");
  });

  it("others go without alarms", async () => {
    const graph = await graphOf(withTask({}, { strategy: "RollingUpdate" }), { alarms: [alarm("error-rate")] });
    expect(resourceOf(graph, SERVICE).inputs.alarms).toBeUndefined();
  });
});

describe("secrets", () => {
  const plan = { secrets: [{ name: "hf-token", sst: "HfToken", variable: "HF_TOKEN" }] };

  it("are read by ECS when a task starts, and in no task definition", async () => {
    const graph = await graphOf(aGpuService({ secrets: ["hf-token"] }), plan);
    expect(resourceOf(graph, "aws:ssm/parameter:Parameter").inputs).toMatchObject({
      name: "/tandem/gallery-test-painter/HF_TOKEN",
      type: "SecureString",
      value: "s3cret",
    });
    expect(String(resourceOf(graph, TASK).inputs.containerDefinitions)).not.toContain("s3cret");
    const arn = "arn:aws:ssm:us-east-1:123456789012:parameter//tandem/gallery-test-painter/HF_TOKEN";
    expect(containerOf(graph).secrets).toEqual([{ name: "HF_TOKEN", valueFrom: arn }]);
    const read = statementsOf(graph, "PainterExecutionRole").find(({ Action }) => Action === "ssm:GetParameters");
    expect(read?.Resource).toBe(arn);
    expect(resourceOf(graph, SERVICE).inputs.triggers).toHaveProperty("HF_TOKEN");
  });

  it("go to the services alone that name them", async () => {
    const graph = await graphOf(aGpuService(), plan);
    expect(resourcesOf(graph, "aws:ssm/parameter:Parameter")).toEqual([]);
  });
});
