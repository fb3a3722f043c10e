import { beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "#infra/resources/deployed.ts";
import { statementsOf } from "#infra/resources/permissions.ts";
import { service } from "#shared/service/contract.ts";
import { locationsFromEnvironment } from "#shared/transport/location.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { deployFunctions, planOf, Words } from "./cpu-services.ts";

const LAMBDA = "aws:lambda/function:Function";
const MAPPING = "aws:lambda/eventSourceMapping:EventSourceMapping";
const QUEUE = "aws:sqs/queue:Queue";

const plan = planOf(`
secrets: [hf-token]
envs: [{ name: STYLE, value: bold }]
services:
  Painter: { instance_type: gpu.l4.1 }
  Words: { config_overrides: { traffic: { external_queue: true, concurrency: 2 } } }
  Studio:
    instance_type: cpu.1
    scaling: { min_replicas: 2, max_replicas: 5 }
    config_overrides: { traffic: { timeout: 300, concurrency: 4 } }
`);

let graph: Graph;
beforeAll(async () => {
  graph = await deployFunctions(plan);
  expect(graph.error).toBeUndefined();
});

/** What a role may do: one text a statement. */
function allowed(of: Graph, role: string): string[] {
  const { inlinePolicies, managedPolicyArns } = resourceOf(of, "aws:iam/role:Role", role).inputs as {
    inlinePolicies: { policy: string }[];
    managedPolicyArns: string[];
  };
  expect(managedPolicyArns).toEqual([]);
  return inlinePolicies
    .flatMap(({ policy }) => JSON.parse(policy).Statement as Record<string, unknown>[])
    .map(({ Effect, Action, Resource, Condition }) => {
      const condition = Condition ? ` if ${JSON.stringify(Condition)}` : "";
      return `${Effect === "Allow" ? "" : "not "}${[Action].flat().join(" ")} on ${[Resource].flat().join(" ")}${condition}`;
    });
}

function variables(of: Graph, name: string): Record<string, string> {
  const { environment } = resourceOf(of, LAMBDA, name).inputs as { environment: { variables: Record<string, string> } };
  return environment.variables;
}

const arn = (name: string) => `arn:aws:sqs:us-east-1:123456789012:${name}`;
const url = (name: string) => `https://sqs.us-east-1.amazonaws.com/123456789012/${name}`;
const lists = (prefix: string) =>
  `s3:ListBucket on arn:aws:s3:::the-store if {"StringLikeIfExists":{"s3:prefix":"${prefix}*"}}`;
const log = (name: string) =>
  `logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/${name}:*`;

describe("functions", () => {
  test("are the plan's, with a log that does not grow for ever", () => {
    expect(resourcesOf(graph, LAMBDA).map(({ inputs }) => inputs.name)).toEqual([
      "studio-test-painter-dead-letters",
      "studio-test-studio-dead-letters",
      "studio-test-studio",
      "studio-test-studio-queue",
      "studio-test-words-dead-letters",
      "studio-test-words-queue", // All calls of Words come by its queue.
    ]);
    expect(resourceOf(graph, LAMBDA, "StudioFunction").inputs).toMatchObject({
      runtime: "nodejs24.x",
      architectures: ["arm64"],
      memorySize: 2048,
      timeout: 305,
      publish: true,
      reservedConcurrentExecutions: 5,
      loggingConfig: { logGroup: "/aws/lambda/studio-test-studio" },
      tags: { "tandem:service": "Studio" },
    });
    expect(resourceOf(graph, LAMBDA, "StudioFunction").inputs.vpcConfig).toBeUndefined();
    // Nobody calls a version of it.
    expect(resourceOf(graph, LAMBDA, "StudioDeadLettersFunction").inputs.publish).toBe(false);
    expect(resourcesOf(graph, "aws:cloudwatch/logGroup:LogGroup").map(({ inputs }) => inputs.retentionInDays)).toEqual(
      Array(6).fill(14),
    );
  });

  test("are bundled as functions/build.ts does, dead letters without sharp", () => {
    const builds = graph.cliCalls.filter(({ method }) => method === "Runtime.Build").map(({ params }) => params);
    expect(builds).toHaveLength(6);
    const nodejs = {
      minify: true,
      splitting: true,
      architecture: "arm64",
      plugins: expect.stringMatching(/functions\/bundle-plugins\.mjs$/),
      esbuild: { target: "esnext", sourcemap: false, keepNames: false },
    };
    expect(builds).toContainEqual(
      expect.objectContaining({
        handler: "functions/handlers/studio.handler",
        properties: { ...nodejs, install: { sharp: "*", pino: "*" } },
      }),
    );
    expect(builds).toContainEqual(
      expect.objectContaining({
        handler: "functions/handlers/painter-dead-letters.handler",
        properties: { ...nodejs, install: { pino: "*" } },
      }),
    );
  });

  test("of this project bundle as SST does it", async () => {
    const entry = service("ControlNet", { apis: Words.apis });
    const bundled = await deployFunctions(planOf("{}", { services: [entry] }), {
      bundle: true,
    });
    expect(bundled.error).toBeUndefined();
    expect(resourceOf(bundled, LAMBDA, "ControlNetFunction").inputs.handler).toBe("bundle.handler");
    expect(bundled.cliCalls.filter(({ method }) => method === "Runtime.Build")).toHaveLength(3);
  });

  test("only Lambda takes their roles", () => {
    for (const { inputs } of resourcesOf(graph, "aws:iam/role:Role"))
      expect(JSON.stringify(inputs.assumeRolePolicy)).toMatch(/"Principal":{"Service":"lambda\.amazonaws\.com"}/);
  });

  test("of an entry that scales has instances kept warm on its alias", () => {
    const warm = resourceOf(graph, "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig");
    expect(warm.inputs).toEqual({
      functionName: "studio-test-studio",
      qualifier: "live",
      provisionedConcurrentExecutions: 2,
    });
    expect(warm.dependencies.join()).toContain("Stack::StudioLive");
  });
});

describe("least privilege", () => {
  test("the entry: its face, its callees' queues, its log", () => {
    expect(allowed(graph, "StudioRole")).toEqual([
      `sqs:GetQueueAttributes sqs:SendMessage on ${arn("studio-test-studio-queue")}`,
      `sqs:GetQueueAttributes sqs:SendMessage on ${arn("studio-test-studio-priority")}`,
      "s3:DeleteObject s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Studio/calls/*",
      lists("Studio/calls/"),
      "s3:DeleteObject s3:GetObject on arn:aws:s3:::the-store/Studio/workers/*",
      lists("Studio/workers/"),
      "s3:GetObject on arn:aws:s3:::the-store/Studio/start-times*",
      lists("Studio/start-times"),
      "s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Studio/tasks/*",
      lists("Studio/tasks/"),
      "s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Studio/uploads/*",
      lists("Studio/uploads/"),
      "s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Studio/answers/*",
      ...["Words", "Painter"].flatMap((callee) => [
        `sqs:GetQueueAttributes sqs:SendMessage on ${arn(`studio-test-${callee.toLowerCase()}-queue`)}`,
        `sqs:GetQueueAttributes sqs:SendMessage on ${arn(`studio-test-${callee.toLowerCase()}-priority`)}`,
        `s3:DeleteObject s3:GetObject s3:PutObject on arn:aws:s3:::the-store/${callee}/calls/*`,
        lists(`${callee}/calls/`),
        `s3:DeleteObject s3:GetObject on arn:aws:s3:::the-store/${callee}/workers/*`,
        lists(`${callee}/workers/`),
        `s3:GetObject on arn:aws:s3:::the-store/${callee}/start-times*`,
        lists(`${callee}/start-times`),
      ]),
      log("studio-test-studio"),
    ]);
  });

  test("a queue's function: its lanes, its calls, its log", () => {
    const receives = "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage";
    expect(allowed(graph, "WordsQueueRunnerRole")).toEqual([
      `${receives} on ${arn("studio-test-words-queue")}`,
      `${receives} on ${arn("studio-test-words-priority")}`,
      "s3:DeleteObject s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Words/calls/*",
      lists("Words/calls/"),
      log("studio-test-words-queue"),
    ]);
  });

  test("a dead-letter function, a GPU service's too: its queue, answers, its log", () => {
    expect(allowed(graph, "PainterDeadLettersRole")).toEqual([
      `sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage on ${arn("studio-test-painter-dead-letters")}`,
      `sqs:SendMessage on ${arn("studio-test-painter-queue")}`,
      "s3:GetObject s3:PutObject on arn:aws:s3:::the-store/Painter/calls/*",
      lists("Painter/calls/"),
      "s3:DeleteObject s3:PutObject on arn:aws:s3:::the-store/Painter/dead-letters/*",
      log("studio-test-painter-dead-letters"),
    ]);
  });

  test("a function that another invokes is allowed to no other", async () => {
    const direct = await deployFunctions(planOf("services: { Painter: { instance_type: gpu.l4.1 } }"));
    expect(allowed(direct, "StudioRole").filter((statement) => statement.includes("lambda:"))).toEqual([
      "lambda:InvokeFunction on arn:aws:lambda:us-east-1:123456789012:function:studio-test-words:live",
    ]);
    const { TANDEM_SERVICES } = variables(direct, "StudioFunction");
    expect(locationsFromEnvironment(TANDEM_SERVICES).Words).toEqual({
      transport: "lambda",
      functionName: "arn:aws:lambda:us-east-1:123456789012:function:studio-test-words:live",
      storeUrl: "s3://the-store",
    });
    expect(resourceOf(direct, LAMBDA, "StudioFunction").dependencies.join()).toContain("Stack::WordsLive");
  });

  test("weights are read and listed below their URL, tasks protected in the deployment's cluster", async () => {
    const deployment = {
      store: { name: "the-store", arn: "arn:aws-cn:s3:::the-store" },
      clusters: new Map([["Painter", "arn:aws-cn:ecs:cn-north-1:123456789012:cluster/studio-test"]]),
      queues: new Map(),
      versions: new Map(),
      revisions: [],
      alarmTopic: undefined,
    } as unknown as Deployment;
    const statements = await synthesize(() => ({
      statements: statementsOf(
        [
          { actions: ["s3:GetObject", "s3:ListBucket"], on: { kind: "s3", url: "s3://models/sdxl/" } },
          { actions: ["ecs:UpdateTaskProtection"], on: { kind: "task-protection", service: "Painter" } },
          { actions: ["cloudwatch:PutMetricData"], on: { kind: "any", why: "it has no resource" } },
        ],
        deployment,
      ),
    }));
    expect(statements.outputs.statements).toEqual([
      { actions: ["s3:GetObject"], resources: ["arn:aws-cn:s3:::models/sdxl/*"] },
      {
        actions: ["s3:ListBucket"],
        resources: ["arn:aws-cn:s3:::models"],
        conditions: [{ test: "StringLikeIfExists", variable: "s3:prefix", values: ["sdxl/*"] }],
      },
      {
        actions: ["ecs:UpdateTaskProtection"],
        resources: ["arn:aws-cn:ecs:cn-north-1:123456789012:task/studio-test/*"],
      },
      { actions: ["cloudwatch:PutMetricData"], resources: ["*"] },
    ]);
    const early = await synthesize(() => {
      statementsOf([{ actions: ["sqs:SendMessage"], on: { kind: "queue", service: "Painter" } }], deployment);
      return {};
    });
    expect(String(early.error)).toContain("queues of Painter: asked for before it was made");
  });

  test("nothing may do everything, or anything to everything", () => {
    const statements = resourcesOf(graph, "aws:iam/role:Role").flatMap(({ name }) => allowed(graph, name));
    expect(statements.filter((statement) => /\w+:\* |on \*/.test(statement))).toEqual([]);
  });
});

describe("environment", () => {
  test("of the entry: what the file gives, secrets, where its callees and its own queue are", () => {
    const { TANDEM_SERVICES, SST_KEY, SST_KEY_FILE, SST_RESOURCE_App, ...rest } = variables(graph, "StudioFunction");
    expect(rest).toEqual({
      STYLE: "bold",
      HF_TOKEN: "value of HfToken",
      TANDEM_STORE: "s3://the-store",
      TANDEM_INVOKE_MODE: "RESPONSE_STREAM",
      TANDEM_OVERRIDES: JSON.stringify({ timeout: 300, concurrency: 4 }),
    });
    const location = (service: string) => ({
      transport: "sqs",
      queueUrl: url(`studio-test-${service}-queue`),
      priorityQueueUrl: url(`studio-test-${service}-priority`),
      storeUrl: "s3://the-store",
    });
    expect(locationsFromEnvironment(TANDEM_SERVICES)).toEqual({
      Words: location("words"),
      Painter: location("painter"),
      Studio: location("studio"),
    });
  });

  test("of dead letters: their own queue, and no secret", () => {
    const { TANDEM_SERVICES, SST_KEY, SST_KEY_FILE, SST_RESOURCE_App, ...rest } = variables(
      graph,
      "StudioDeadLettersFunction",
    );
    expect(rest).toEqual({
      TANDEM_STORE: "s3://the-store",
      TANDEM_OVERRIDES: JSON.stringify({ timeout: 300, concurrency: 4 }),
    });
    expect(Object.keys(locationsFromEnvironment(TANDEM_SERVICES))).toEqual(["Studio"]);
  });

  test("of dead letters of a container is not the container's, which may be more than a function takes", async () => {
    const long = planOf(`
services:
  Painter: { instance_type: gpu.l4.1, envs: [{ name: LORE, value: ${"x".repeat(5000)} }] }
`);
    const { environment } = long.services.find(({ name }) => name === "Painter")!;
    expect(environment.LORE).toHaveLength(5000);
    const deployed = await deployFunctions(long);
    expect(Object.keys(variables(deployed, "PainterDeadLettersFunction")).sort()).toEqual([
      "SST_KEY",
      "SST_KEY_FILE",
      "SST_RESOURCE_App",
      "TANDEM_OVERRIDES",
      "TANDEM_SERVICES",
      "TANDEM_STORE",
    ]);
  });
});

describe("queues", () => {
  test("have a lane that goes first, and give up to a dead-letter queue that only they may use", () => {
    const lane = (service: string, visibilityTimeoutSeconds: number) => ({
      visibilityTimeoutSeconds,
      messageRetentionSeconds: plan.services.find(({ name }) => name === service)!.queue!.retention,
      redrivePolicy: JSON.stringify({
        deadLetterTargetArn: arn(`studio-test-${service.toLowerCase()}-dead-letters`),
        maxReceiveCount: 3,
      }),
    });
    // A worker's heartbeat keeps its messages; a function has six of its timeouts.
    for (const [service, visibility] of [["Painter", 30] as const, ["Studio", 6 * 305] as const]) {
      expect(resourceOf(graph, QUEUE, `${service}Queue`).inputs).toMatchObject(lane(service, visibility));
      expect(resourceOf(graph, QUEUE, `${service}PriorityQueue`).inputs).toMatchObject(lane(service, visibility));
      const name = service.toLowerCase();
      expect(
        resourceOf(graph, "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy", `${service}DeadLetterSources`).inputs,
      ).toEqual({
        queueUrl: url(`studio-test-${name}-dead-letters`),
        redriveAllowPolicy: JSON.stringify({
          redrivePermission: "byQueue",
          sourceQueueArns: [arn(`studio-test-${name}-queue`), arn(`studio-test-${name}-priority`)],
        }),
      });
    }
    expect(resourceOf(graph, QUEUE, "StudioDeadLetterQueue").inputs).toMatchObject({
      visibilityTimeoutSeconds: 360,
      messageRetentionSeconds: 14 * 86_400,
    });
  });

  test("are encrypted, take messages of 1 MiB, and are asked over TLS only", () => {
    const queues = resourcesOf(graph, QUEUE);
    expect(queues).toHaveLength(9);
    const policies = resourcesOf(graph, "aws:sqs/queuePolicy:QueuePolicy");
    for (const { name, inputs } of queues) {
      expect(inputs).toMatchObject({
        sqsManagedSseEnabled: true,
        maxMessageSize: 1_048_576,
        tags: { "tandem:service": expect.stringMatching(/^(Painter|Words|Studio)$/) },
      });
      const policy = policies.find((one) => one.name === `${name}Tls`)!.inputs.policy as string;
      expect(JSON.parse(policy).Statement).toEqual([
        {
          Sid: "TlsOnly",
          Effect: "Deny",
          Principal: "*",
          Action: "sqs:*",
          Resource: arn(String(inputs.name)),
          Condition: { Bool: { "aws:SecureTransport": "false" } },
        },
      ]);
    }
  });

  test("feed their function's alias, one call at a time, from both lanes; dead letters their own function", () => {
    const fn = (name: string) => `arn:aws:lambda:us-east-1:123456789012:function:${name}`;
    const fed = resourcesOf(graph, MAPPING).map(({ name, inputs: { tags, functionResponseTypes, ...inputs } }) => {
      expect(functionResponseTypes).toEqual(["ReportBatchItemFailures"]);
      return [name, inputs];
    });
    const lane = (service: string, role: string, maximumConcurrency: number) => ({
      eventSourceArn: arn(`studio-test-${service}-${role}`),
      functionName: fn(`studio-test-${service}-queue:live`),
      batchSize: 1,
      scalingConfig: { maximumConcurrency },
    });
    const letters = (service: string) => ({
      eventSourceArn: arn(`studio-test-${service}-dead-letters`),
      functionName: fn(`studio-test-${service}-dead-letters`),
    });
    expect(Object.fromEntries(fed)).toEqual({
      PainterDeadLettersSource: letters("painter"),
      StudioDeadLettersSource: letters("studio"),
      WordsDeadLettersSource: letters("words"),
      StudioQueueSource: lane("studio", "queue", 20),
      StudioPriorityQueueSource: lane("studio", "priority", 20),
      WordsQueueSource: lane("words", "queue", 2),
      WordsPriorityQueueSource: lane("words", "priority", 2),
    });
    for (const name of ["StudioQueueSource", "StudioPriorityQueueSource"])
      expect(resourceOf(graph, MAPPING, name).dependencies.join()).toContain("Stack::StudioQueueRunnerLive");
  });
});
