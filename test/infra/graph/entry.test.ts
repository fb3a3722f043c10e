import { describe, expect, test } from "vitest";
import { createSecrets } from "#infra/resources/secrets.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { synthesize } from "../synth.ts";
import { deployFunctions, planOf } from "./cpu-services.ts";

const LAMBDA = "aws:lambda/function:Function";
const URL_TYPE = "aws:lambda/functionUrl:FunctionUrl";
const PERMISSION = "aws:lambda/permission:Permission";
const STACK = "aws:cloudformation/stack:Stack";

const painter = "Painter: { instance_type: gpu.l4.1 }";

async function deployed(yaml: string, options: Parameters<typeof deployFunctions>[1] = {}) {
  const graph = await deployFunctions(planOf(yaml), options);
  expect(graph.error).toBeUndefined();
  return graph;
}

function variables(graph: Awaited<ReturnType<typeof deployed>>, name: string): Record<string, string> {
  return (resourceOf(graph, LAMBDA, name).inputs.environment as { variables: Record<string, string> }).variables;
}

describe("the entry's URL", () => {
  test("is the alias's, streams, and is anybody's who may ask it by the two permissions that URLs want", async () => {
    const graph = await deployed(`services: { ${painter} }`);
    const url = resourceOf(graph, URL_TYPE);
    expect(url.inputs).toEqual({
      functionName: "studio-test-studio",
      qualifier: "live",
      authorizationType: "NONE",
      invokeMode: "RESPONSE_STREAM",
    });
    expect(url.dependencies.join()).toContain("Stack::StudioLive");
    expect(graph.outputs.url).toBe("https://studiourl.lambda-url.us-east-1.on.aws/");
    const anybody = { function: "studio-test-studio", qualifier: "live", principal: "*" };
    expect(resourcesOf(graph, PERMISSION).map(({ inputs }) => inputs)).toEqual([
      { ...anybody, action: "lambda:InvokeFunction", invokedViaFunctionUrl: true },
      { ...anybody, action: "lambda:InvokeFunctionUrl", functionUrlAuthType: "NONE" },
    ]);
    expect(variables(graph, "StudioFunction").TANDEM_API_KEYS).toBeUndefined();
  });

  test("with bearer access, the function has the keys and looks for one", async () => {
    const graph = await deployed(`{ access_authorization: true, services: { ${painter} } }`, {
      secrets: { TandemApiKeys: "key-1,key-2" },
    });
    expect(resourceOf(graph, URL_TYPE).inputs.authorizationType).toBe("NONE");
    expect(variables(graph, "StudioFunction").TANDEM_API_KEYS).toBe("key-1,key-2");
    expect(variables(graph, "WordsFunction").TANDEM_API_KEYS).toBeUndefined();
    expect(variables(graph, "StudioDeadLettersFunction").TANDEM_API_KEYS).toBeUndefined();
  });

  test("with IAM access, nobody is allowed but by a policy of their own", async () => {
    const graph = await deployed(`{ access_authorization: iam, services: { ${painter} } }`);
    expect(resourceOf(graph, URL_TYPE).inputs.authorizationType).toBe("AWS_IAM");
    expect(resourcesOf(graph, PERMISSION)).toEqual([]);
  });

  test("answers other origins as the file says", async () => {
    const graph = await deployed(`
services:
  ${painter}
  Studio:
    config_overrides:
      http:
        cors:
          enabled: true
          access_control_allow_origins: [https://app.example.com]
          access_control_allow_methods: [GET, POST, OPTIONS]
          access_control_allow_credentials: true
          access_control_max_age: 600
`);
    expect(resourceOf(graph, URL_TYPE).inputs.cors).toEqual({
      allowOrigins: ["https://app.example.com"],
      allowMethods: ["GET", "POST"],
      allowHeaders: ["*"],
      exposeHeaders: [],
      allowCredentials: true,
      maxAge: 600,
    });
  });

  test("in a VPC is BUFFERED, which its function knows; the function's interfaces are Lambda's to make, not its own", async () => {
    const graph = await deployed(`
services:
  Painter: { instance_type: gpu.l4.1, config_overrides: { traffic: { external_queue: false } } }
`);
    expect(resourceOf(graph, URL_TYPE).inputs.invokeMode).toBe("BUFFERED");
    const { vpcConfig } = resourceOf(graph, LAMBDA, "StudioFunction").inputs;
    expect(vpcConfig).toEqual({ subnetIds: ["subnet-1", "subnet-2"], securityGroupIds: ["sg-1"] });
    expect(resourceOf(graph, LAMBDA, "StudioQueueRunnerFunction").inputs.vpcConfig).toEqual(vpcConfig);
    expect(resourceOf(graph, LAMBDA, "WordsFunction").inputs.vpcConfig).toBeUndefined();
    const { TANDEM_INVOKE_MODE, TANDEM_SERVICES } = variables(graph, "StudioFunction");
    expect(TANDEM_INVOKE_MODE).toBe("BUFFERED");
    expect(JSON.parse(TANDEM_SERVICES!).Painter).toEqual({ transport: "http", url: "http://balancer:8001" });

    const [{ policy }] = resourceOf(graph, "aws:iam/role:Role", "StudioRole").inputs.inlinePolicies as [
      { policy: string },
    ];
    const interfaces = (JSON.parse(policy).Statement as { Action: string | string[]; Effect: string }[]).filter(
      ({ Action }) => [Action].flat().includes("ec2:CreateNetworkInterface"),
    );
    expect(interfaces).toMatchObject([
      { Effect: "Allow", Resource: "*" },
      {
        Effect: "Deny",
        Resource: "*",
        Condition: { ArnLike: { "lambda:SourceFunctionArn": "arn:*:lambda:*:*:function:studio-test-studio" } },
      },
    ]);
  });
});

describe("secrets", () => {
  const plan = planOf(`{ secrets: [hf-token], services: { ${painter} } }`);
  async function made(value: string | undefined) {
    if (value !== undefined) process.env.SST_SECRET_HfToken = value;
    try {
      return await synthesize(async () => ({
        hidden: await $util.isSecret($output(createSecrets(plan).get("hf-token"))),
      }));
    } finally {
      delete process.env.SST_SECRET_HfToken;
    }
  }

  test("are Pulumi's secrets: encrypted in the state, not printed", async () => {
    expect((await made("abc")).outputs.hidden).toBe(true);
  });

  test.each([
    [" ", "secret HfToken is empty: npx sst secret set HfToken <value>"],
    [undefined, "HfToken"],
  ])("one that is %j stops the deployment", async (value, message) => {
    expect(String((await made(value)).error)).toContain(message);
  });
});

describe("a function's alias", () => {
  const template = (graph: Awaited<ReturnType<typeof deployed>>, name: string) =>
    JSON.parse(String(resourceOf(graph, STACK, name).inputs.templateBody)).Resources.Live;

  test("moves to a deployment's version at once, with Recreate and RollingUpdate", async () => {
    const graph = await deployed(`services: { ${painter}, Studio: { deployment_strategy: RollingUpdate } }`);
    expect(resourceOf(graph, STACK, "StudioLive").inputs).toMatchObject({
      name: "studio-test-studio-live",
      parameters: { Function: "studio-test-studio", Version: "1" },
      onFailure: "DELETE",
    });
    expect(template(graph, "StudioLive")).toEqual({
      Type: "AWS::Lambda::Alias",
      Properties: { Name: "live", FunctionName: { Ref: "Function" }, FunctionVersion: { Ref: "Version" } },
    });
    expect(resourcesOf(graph, "aws:codedeploy/deploymentGroup:DeploymentGroup")).toEqual([]);
    expect(resourcesOf(graph, STACK).map(({ name }) => name)).toEqual([
      "StudioLive",
      "StudioQueueRunnerLive",
      "WordsLive",
    ]);
  });

  test.each([
    [
      "RampedSlowRollout",
      { type: "TimeBasedLinear", timeBasedLinear: { percentage: 10, interval: 1 } },
      "linear-10-10",
    ],
    [
      "BestEffortControlledRollout",
      { type: "TimeBasedCanary", timeBasedCanary: { percentage: 10, interval: 5 } },
      "canary-10-5",
    ],
  ])(
    "moves by CodeDeploy with %s, and back when the error alarm rings",
    async (strategy, trafficRoutingConfig, pace) => {
      const graph = await deployed(`services: { ${painter}, Studio: { deployment_strategy: ${strategy} } }`);
      expect(template(graph, "StudioLive").UpdatePolicy).toEqual({
        CodeDeployLambdaAliasUpdate: { ApplicationName: "studio-test-studio", DeploymentGroupName: "live" },
      });
      expect(template(graph, "WordsLive").UpdatePolicy).toBeUndefined();
      const config = resourceOf(graph, "aws:codedeploy/deploymentConfig:DeploymentConfig", "StudioRolloutPace");
      expect(config.inputs).toEqual({
        deploymentConfigName: `studio-test-studio-${pace}`,
        computePlatform: "Lambda",
        trafficRoutingConfig,
      });
      expect(
        resourceOf(graph, "aws:codedeploy/deploymentGroup:DeploymentGroup", "StudioRolloutGroup").inputs,
      ).toMatchObject({
        appName: "studio-test-studio",
        deploymentConfigName: `studio-test-studio-${pace}`,
        deploymentStyle: { deploymentType: "BLUE_GREEN", deploymentOption: "WITH_TRAFFIC_CONTROL" },
        autoRollbackConfiguration: { enabled: true, events: ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"] },
        alarmConfiguration: { enabled: true, alarms: ["studio-test-studio-error-rate"] },
      });
      const [{ policy }] = resourceOf(graph, "aws:iam/role:Role", "StudioRolloutRole").inputs.inlinePolicies as [
        { policy: string },
      ];
      const fn = "arn:aws:lambda:us-east-1:123456789012:function:studio-test-studio";
      expect(JSON.parse(policy).Statement).toEqual([
        {
          Effect: "Allow",
          Action: ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"],
          Resource: [fn, `${fn}:*`],
        },
        { Effect: "Allow", Action: ["cloudwatch:DescribeAlarms"], Resource: ["*"] },
      ]);
    },
  );

  test("in sst dev moves at once, and nothing is kept warm or held back", async () => {
    const yaml = `
services:
  ${painter}
  Studio: { deployment_strategy: RampedSlowRollout, scaling: { min_replicas: 1, max_replicas: 2 } }
`;
    const graph = await deployed(yaml, { dev: true });
    expect(template(graph, "StudioLive").UpdatePolicy).toBeUndefined();
    expect(resourcesOf(graph, "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig")).toEqual([]);
    const { inputs } = resourceOf(graph, LAMBDA, "StudioFunction");
    expect(inputs).toMatchObject({ description: "live", runtime: "provided.al2023" });
    expect(inputs.reservedConcurrentExecutions).toBeUndefined();
    expect(variables(graph, "StudioFunction").SST_FUNCTION_STREAMING).toBe("true");
    expect(resourceOf(graph, URL_TYPE).inputs.qualifier).toBe("live");
  });

  test("a long stage's names stay in AWS's limits", async () => {
    const plan = planOf(
      `name: ${"n".repeat(60)}\nservices: { ${painter}, Studio: { deployment_strategy: RampedSlowRollout } }`,
      { stage: "s".repeat(30) },
    );
    const graph = await deployFunctions(plan);
    expect(graph.error).toBeUndefined();
    const names = (type: string, field: string) => resourcesOf(graph, type).map(({ inputs }) => String(inputs[field]));
    const fits = (limit: number) => expect.stringMatching(new RegExp(`^[a-zA-Z][a-zA-Z0-9-]{0,${limit - 1}}$`));
    expect(names(LAMBDA, "name")).toEqual(Array(5).fill(fits(64)));
    expect(names("aws:iam/role:Role", "namePrefix").filter((name) => name !== "undefined")).toEqual(
      Array(2).fill(fits(38)),
    );
    expect(names(STACK, "name")).toEqual(Array(3).fill(fits(128)));
    expect(names("aws:sqs/queue:Queue", "name")).toEqual(Array(6).fill(fits(80)));
    expect(names("aws:codedeploy/application:Application", "name")).toEqual(Array(2).fill(fits(100)));
    expect(names("aws:codedeploy/deploymentConfig:DeploymentConfig", "deploymentConfigName")).toEqual(
      Array(2).fill(fits(100)),
    );
  });
});
