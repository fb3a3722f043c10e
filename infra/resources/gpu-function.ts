/// <reference path="../../.sst/platform/config.d.ts" />
import type { GpuFunctionPlan } from "../plan/deployment-plan.ts";
import { logicalName } from "../plan/names.ts";
import { type Deployment, made } from "./deployed.ts";
import { createEventSource } from "./event-sources.ts";
import { createFunctionImage } from "./function-image.ts";
import { environmentOf } from "./locations.ts";
import { policyOf, statementsOf } from "./permissions.ts";
import { secretVariables } from "./secrets.ts";
import { serviceTags } from "./service-tags.ts";

/** What runs of a function on managed instances is a published version; this one is published with every update. */
const PUBLISHED = "$LATEST.PUBLISHED";
/** That Lambda may launch instances in the account. */
const OPERATOR_POLICY = "AWSLambdaManagedEC2ResourceOperator";
/** Instances start, and end, before the stack is done. */
const STACK_TIMEOUT = "60m";
/** Longest prefix of a role's name, in characters. */
const ROLE_PREFIX = 38;

/**
 * A GPU service as a Lambda function on instances that Lambda runs in the account, with both lanes of its queue as event
 * sources: they hold calls while the first instance starts. CloudFormation holds the function and its capacity provider,
 * since SST's AWS provider has no word for a GPU's memory, and none for how many environments there are.
 */
export function createGpuFunction(service: GpuFunctionPlan, deployment: Deployment): void {
  const { name, function: fn } = service;
  const id = logicalName(service);
  const { region, logRetentionDays } = deployment.plan;
  const tags = serviceTags(service);
  const { partition } = aws.getPartitionOutput();
  const { accountId } = aws.getCallerIdentityOutput();
  const arn = $interpolate`arn:${partition}:lambda:${region}:${accountId}:function:${fn.physicalName}`;
  const logGroup = (id: string, name: string) =>
    new aws.cloudwatch.LogGroup(id, { name, retentionInDays: logRetentionDays, tags });
  const log = logGroup(`${id}Logs`, `/aws/lambda/${fn.physicalName}`);
  const instancesLog = logGroup(`${id}InstancesLogs`, `/aws/lambda/capacity-provider/${fn.physicalName}`);

  const role = lambdaRole(`${id}Role`, `Runs ${name}`, service, [
    ...statementsOf(service.permissions, deployment),
    writesTo(log),
  ]);
  // Not for another account's instances.
  const own = { test: "StringEquals", variable: "aws:SourceAccount", values: [accountId] };
  const launches = `Launches instances of ${name}`;
  const operator = lambdaRole(`${id}OperatorRole`, launches, service, [writesTo(instancesLog)], [own]);
  const mayLaunch = new aws.iam.RolePolicyAttachment(`${id}OperatorPolicy`, {
    role: operator.name,
    policyArn: $interpolate`arn:${partition}:iam::aws:policy/${OPERATOR_POLICY}`,
  });

  const secrets = Object.entries(secretVariables(service.secrets, deployment.plan, deployment.secrets));
  const parameters = Object.fromEntries(secrets.map(([, value], index) => [`Secret${index + 1}`, value]));
  const template = templateOf(service, deployment, {
    image: createFunctionImage(service, arn),
    roleArn: role.arn,
    operatorArn: operator.arn,
    logGroup: log.name,
    instancesLogGroup: instancesLog.name,
    secrets: Object.fromEntries(secrets.map(([variable], index) => [variable, { Ref: `Secret${index + 1}` }])),
  });
  const stack = new aws.cloudformation.Stack(
    `${id}Function`,
    {
      name: fn.physicalName,
      templateBody: $jsonStringify(template),
      ...(secrets.length > 0 && { parameters }),
      onFailure: "DELETE",
      tags,
    },
    {
      // Without its policy Lambda could launch nothing.
      dependsOn: [mayLaunch],
      customTimeouts: { create: STACK_TIMEOUT, update: STACK_TIMEOUT, delete: STACK_TIMEOUT },
    },
  );
  deployment.revisions.push($jsonStringify(template));
  const published = $resolve([arn, stack.id]).apply(([function_]) => `${function_}:${PUBLISHED}`);
  const { queue, priority } = made(deployment.queues.get(name), `queues of ${name}`);
  const concurrency = { batchSize: 1, maximumConcurrency: fn.maximumConcurrency };
  createEventSource(`${id}QueueSource`, service, queue, published, concurrency);
  createEventSource(`${id}PriorityQueueSource`, service, priority, published, concurrency);
}

interface Parts {
  readonly image: $util.Input<string>;
  readonly roleArn: $util.Input<string>;
  readonly operatorArn: $util.Input<string>;
  readonly logGroup: $util.Input<string>;
  readonly instancesLogGroup: $util.Input<string>;
  /** By variable: the parameter that has it. */
  readonly secrets: Readonly<Record<string, { readonly Ref: string }>>;
}

function templateOf(service: GpuFunctionPlan, deployment: Deployment, parts: Parts) {
  const { function: fn, scaling, concurrency, acceleratorMemory } = service;
  const { plan } = deployment;
  const network = made(deployment.network, "network of instances");
  const tags = Object.entries(serviceTags(service)).map(([Key, Value]) => ({ Key, Value }));
  const planTags = Object.entries(plan.tags).map(([Key, Value]) => ({ Key, Value }));
  const hidden = Object.values(parts.secrets).map(({ Ref }) => [Ref, { Type: "String", NoEcho: true }]);
  return {
    ...(hidden.length > 0 && { Parameters: Object.fromEntries(hidden) }),
    Resources: {
      // Without a name of its own: other instances are another provider, which must be there before this one goes.
      Instances: {
        Type: "AWS::Lambda::CapacityProvider",
        Properties: {
          VpcConfig: { SubnetIds: [...network.publicSubnets], SecurityGroupIds: [network.workers] },
          PermissionsConfig: { CapacityProviderOperatorRoleArn: parts.operatorArn },
          InstanceRequirements: { Architectures: ["x86_64"], AllowedInstanceTypes: [...fn.instanceTypes] },
          CapacityProviderScalingConfig: { MaxVCpuCount: fn.maxVcpus, ScalingMode: "Auto" },
          TelemetryConfig: { LoggingConfig: { LogGroup: parts.instancesLogGroup } },
          // The bill is for instances.
          PropagateTags: { Mode: "Explicit", ExplicitTags: [...planTags, ...tags] },
          Tags: tags,
        },
      },
      Function: {
        Type: "AWS::Lambda::Function",
        Properties: {
          FunctionName: fn.physicalName,
          PackageType: "Image",
          Code: { ImageUri: parts.image },
          Role: parts.roleArn,
          Architectures: ["x86_64"],
          MemorySize: fn.memory,
          Timeout: fn.timeout,
          EphemeralStorage: { Size: fn.storage },
          Environment: { Variables: { ...environmentOf({ ...service, secrets: [] }, deployment), ...parts.secrets } },
          LoggingConfig: { LogFormat: "JSON", LogGroup: parts.logGroup },
          AcceleratorConfig: { AcceleratorMemorySize: acceleratorMemory },
          CapacityProviderConfig: {
            LambdaManagedInstancesCapacityProviderConfig: {
              CapacityProviderArn: { "Fn::GetAtt": ["Instances", "Arn"] },
              PerExecutionEnvironmentMaxConcurrency: concurrency,
              ExecutionEnvironmentMemoryGiBPerVCpu: fn.memoryPerCore,
            },
          },
          FunctionScalingConfig: {
            MinExecutionEnvironments: scaling.minReplicas,
            MaxExecutionEnvironments: scaling.maxReplicas,
          },
          PublishToLatestPublished: true,
          Tags: tags,
        },
      },
    },
  };
}

type Statements = NonNullable<Parameters<typeof policyOf>[0]>;

/** A role that Lambda takes, under conditions. */
function lambdaRole(
  id: string,
  description: string,
  service: GpuFunctionPlan,
  statements: Statements,
  conditions: aws.types.input.iam.GetPolicyDocumentStatementConditionArgs[] = [],
): aws.iam.Role {
  return new aws.iam.Role(id, {
    namePrefix: service.function.physicalName.slice(0, ROLE_PREFIX),
    description,
    assumeRolePolicy: aws.iam.getPolicyDocumentOutput({
      statements: [
        {
          actions: ["sts:AssumeRole"],
          principals: [{ type: "Service", identifiers: ["lambda.amazonaws.com"] }],
          ...(conditions.length > 0 && { conditions }),
        },
      ],
    }).json,
    inlinePolicies: [{ name: "tandem", policy: policyOf(statements) }],
    tags: serviceTags(service),
  });
}

function writesTo(logGroup: aws.cloudwatch.LogGroup) {
  return { actions: ["logs:CreateLogStream", "logs:PutLogEvents"], resources: [$interpolate`${logGroup.arn}:*`] };
}
