import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deploy } from "#infra/deploy.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { planned, SEED } from "../plan/planned.ts";
import { type Graph, synthesize } from "../synth.ts";

const CONFIG = `
name: elastic
secrets: [hf-token]
labels: [{ key: team, value: vision }]
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 0, max_replicas: 3 }
    config_overrides: { traffic: { concurrency: 2, timeout: 300 } }
    aws: { backend: lambda, model_url: "s3://weights/sdxl/" }
`;
const NAME = "SDXLControlNetService";
const FUNCTION = "elastic-dev-sdxlcontrolnetservice";
const ARN = `arn:aws:lambda:us-east-1:123456789012:function:${FUNCTION}`;
const DIGEST = `sha256:${"0".repeat(64)}`;

beforeAll(() => {
  vi.stubEnv("SST_SECRET_HfToken", "a-secret-token");
});
afterAll(() => {
  vi.unstubAllEnvs();
});

async function deployed(yaml: string, dev = false): Promise<Graph> {
  const { plan } = planned(SEED, yaml);
  const graph = await synthesize(() => deploy(plan), { dev });
  expect(graph.error).toBeUndefined();
  return graph;
}

describe("a GPU service on Lambda", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await deployed(CONFIG);
  });

  const stack = () => resourceOf(graph, "aws:cloudformation/stack:Stack", `${NAME}Function`);
  const template = () => JSON.parse(stack().inputs.templateBody as string);

  it("is a function with an accelerator, in a stack with its capacity provider", () => {
    const { Resources } = template();
    const tags = [{ Key: "tandem:service", Value: NAME }];
    const { ExplicitTags } = Resources.Instances.Properties.PropagateTags;
    expect(ExplicitTags).toEqual(expect.arrayContaining([...tags, { Key: "team", Value: "vision" }]));
    expect(Resources.Instances).toEqual({
      Type: "AWS::Lambda::CapacityProvider",
      Properties: {
        VpcConfig: {
          SubnetIds: [1, 2, 3].map((zone) => `<id of NetworkPublicSubnet${zone}>`),
          SecurityGroupIds: ["<id of WorkerGroup>"],
        },
        PermissionsConfig: {
          CapacityProviderOperatorRoleArn: `arn:aws:iam::123456789012:role/${NAME}OperatorRole`,
        },
        InstanceRequirements: { Architectures: ["x86_64"], AllowedInstanceTypes: ["g6.xlarge"] },
        CapacityProviderScalingConfig: { MaxVCpuCount: 24, ScalingMode: "Auto" },
        TelemetryConfig: { LoggingConfig: { LogGroup: `/aws/lambda/capacity-provider/${FUNCTION}` } },
        PropagateTags: { Mode: "Explicit", ExplicitTags },
        Tags: tags,
      },
    });
    const { Environment, ...properties } = Resources.Function.Properties;
    expect(properties).toEqual({
      FunctionName: FUNCTION,
      PackageType: "Image",
      Code: { ImageUri: `123456789012.dkr.ecr.us-east-1.amazonaws.com/${FUNCTION}@${DIGEST}` },
      Role: `arn:aws:iam::123456789012:role/${NAME}Role`,
      Architectures: ["x86_64"],
      // What Lambda leaves of 4 cores and 16 GiB.
      MemorySize: 12_288,
      Timeout: 305,
      EphemeralStorage: { Size: 10_240 },
      LoggingConfig: { LogFormat: "JSON", LogGroup: `/aws/lambda/${FUNCTION}` },
      AcceleratorConfig: { AcceleratorMemorySize: 24 },
      CapacityProviderConfig: {
        LambdaManagedInstancesCapacityProviderConfig: {
          CapacityProviderArn: { "Fn::GetAtt": ["Instances", "Arn"] },
          PerExecutionEnvironmentMaxConcurrency: 2,
          ExecutionEnvironmentMemoryGiBPerVCpu: 4,
        },
      },
      FunctionScalingConfig: { MinExecutionEnvironments: 0, MaxExecutionEnvironments: 3 },
      PublishToLatestPublished: true,
      Tags: tags,
    });
    expect(Environment.Variables).toMatchObject({
      TANDEM_SERVICE: NAME,
      TANDEM_MODEL_DIR: "/tmp/models",
      TANDEM_MODEL_URL: "s3://weights/sdxl/",
      TANDEM_STORE: expect.stringMatching(/^s3:/),
    });
  });

  it("gets secrets by parameters that CloudFormation does not show", () => {
    const { Parameters, Resources } = template();
    expect(Parameters).toEqual({ Secret1: { Type: "String", NoEcho: true } });
    expect(Resources.Function.Properties.Environment.Variables.HF_TOKEN).toEqual({ Ref: "Secret1" });
    expect(stack().inputs.parameters).toEqual({ Secret1: "a-secret-token" });
    expect(stack().inputs.templateBody).not.toContain("a-secret-token");
  });

  it("takes calls from both lanes, of the version that each update publishes, once that is there", () => {
    for (const [source, queue] of [
      ["QueueSource", "queue"],
      ["PriorityQueueSource", "priority"],
    ]) {
      const mapping = resourceOf(graph, "aws:lambda/eventSourceMapping:EventSourceMapping", `${NAME}${source}`);
      expect(mapping.inputs).toMatchObject({
        functionName: `${ARN}:$LATEST.PUBLISHED`,
        eventSourceArn: `arn:aws:sqs:us-east-1:123456789012:${FUNCTION}-${queue}`,
        batchSize: 1,
        scalingConfig: { maximumConcurrency: 6 },
      });
      expect(mapping.dependencies).toContain(stack().urn);
    }
  });

  it("is built from the project and pushed to a repository of its own, which Lambda may pull for it from", () => {
    const image = resourceOf(graph, "docker-build:index:Image");
    const { dockerfile, context, platforms, push, tags, registries } = image.inputs as Record<string, never>;
    expect(readFileSync((dockerfile as { location: string }).location, "utf8")).toContain("lambda-main.ts");
    expect(context).toEqual({ location: expect.stringMatching(/^\//) });
    const url = `123456789012.dkr.ecr.us-east-1.amazonaws.com/${FUNCTION}`;
    expect([platforms, push, tags]).toEqual([["linux/amd64"], true, [`${url}:latest`]]);
    expect(registries).toEqual([expect.objectContaining({ username: "AWS" })]);
    const { Statement } = JSON.parse(
      resourceOf(graph, "aws:ecr/repositoryPolicy:RepositoryPolicy").inputs.policy as string,
    );
    expect(Statement).toEqual([
      expect.objectContaining({
        Principal: { Service: "lambda.amazonaws.com" },
        Condition: { StringLike: { "aws:sourceArn": ARN } },
      }),
    ]);
    const pulled = resourceOf(graph, "aws:ecr/repositoryPolicy:RepositoryPolicy");
    expect(stack().dependencies).toEqual(expect.arrayContaining([image.urn, pulled.urn]));
  });

  it("has instances that Lambda launches, and for this account only", () => {
    const operator = resourceOf(graph, "aws:iam/role:Role", `${NAME}OperatorRole`);
    const policy = resourceOf(graph, "aws:iam/rolePolicyAttachment:RolePolicyAttachment");
    expect(policy.inputs).toMatchObject({
      role: `${NAME}OperatorRole`,
      policyArn: "arn:aws:iam::aws:policy/AWSLambdaManagedEC2ResourceOperator",
    });
    expect(stack().dependencies).toContain(policy.urn);
    expect(JSON.parse(operator.inputs.assumeRolePolicy as string).Statement).toEqual([
      {
        Effect: "Allow",
        Action: "sts:AssumeRole",
        Principal: { Service: "lambda.amazonaws.com" },
        Condition: { StringEquals: { "aws:SourceAccount": "123456789012" } },
      },
    ]);
  });

  it("has no cluster, no group of instances and no NAT gateway", () => {
    const types = graph.resources.map(({ type }) => type);
    expect(types.filter((type) => /^aws:(ecs|autoscaling|appautoscaling|lb)\/|nat/i.test(type))).toEqual([]);
  });
});

it("keeps the least and the most replicas that the file says, and room for those that replace them", async () => {
  const graph = await deployed(CONFIG.replace("min_replicas: 0, max_replicas: 3", "min_replicas: 2, max_replicas: 5"));
  const { Resources } = JSON.parse(
    resourceOf(graph, "aws:cloudformation/stack:Stack", `${NAME}Function`).inputs.templateBody as string,
  );
  expect(Resources.Function.Properties.FunctionScalingConfig).toEqual({
    MinExecutionEnvironments: 2,
    MaxExecutionEnvironments: 5,
  });
  expect(Resources.Instances.Properties.CapacityProviderScalingConfig.MaxVCpuCount).toBe(40);
});

it("has names of AWS's in a stage of 30 characters", async () => {
  const { plan } = planned(SEED, CONFIG.replace("elastic", `g${"allery".repeat(10)}`), {
    stage: "a-stage-with-thirty-characters",
  });
  const graph = await synthesize(() => deploy(plan), { stage: plan.stage });
  const { inputs } = resourceOf(graph, "aws:cloudformation/stack:Stack", `${NAME}Function`);
  expect(inputs.name).toMatch(/^[a-zA-Z][a-zA-Z0-9-]{0,127}$/);
  expect(JSON.parse(inputs.templateBody as string).Resources.Function.Properties.FunctionName).toMatch(/^[\w-]{1,64}$/);
  const { name } = resourceOf(graph, "aws:ecr/repository:Repository").inputs;
  expect(name).toMatch(/^(?=.{2,256}$)[a-z0-9]+([._-][a-z0-9]+)*$/);
  for (const role of ["Role", "OperatorRole"])
    expect(resourceOf(graph, "aws:iam/role:Role", `${NAME}${role}`).inputs.namePrefix).toMatch(/^[\w+=,.@-]{1,38}$/);
});

it("is a process on the desk in sst dev", async () => {
  const graph = await deployed(CONFIG, true);
  expect(resourcesOf(graph, "sst:sst:DevCommand").map(({ name }) => name)).toContain(`${NAME}Dev`);
  const types = new Set(graph.resources.map(({ type }) => type));
  expect([...types].filter((type) => /^aws:(ecr|ec2)|docker-build/.test(type))).toEqual([]);
});
