/** By type of resource: what matters of it, in a few phrases. */
import type { Inputs } from "./platform.ts";
import { grants, statements, text } from "./policy-phrases.ts";

type Phrases = (string | false | undefined)[];

/** `field value` for each that is there; of those that say true the name alone. */
function fields(inputs: Inputs, ...names: string[]): Phrases {
  return names.map((name) => {
    const value = inputs[name];
    if (value === undefined) return undefined;
    return value === true ? name : `${name} ${text(value)}`;
  });
}

interface MetricQuery {
  readonly id: string;
  readonly expression?: string;
  readonly metric?: MetricOf;
  readonly metricStat?: { readonly metric: MetricOf; readonly stat: string };
}

interface MetricOf {
  readonly metricName: string;
  readonly dimensions: Readonly<Record<string, string>> | readonly { readonly name: string; readonly value: string }[];
  readonly stat?: string;
  readonly period?: number;
}

/** Expressions, then what is in them: `MAX([age1, age2])`, `ApproximateAgeOfOldestMessage of queue priority`. */
function queries(list: readonly MetricQuery[]): string[] {
  const watched = list.flatMap(({ metric, metricStat }): [what: string, of: string][] => {
    const { dimensions = {}, metricName } = metricStat?.metric ?? metric ?? {};
    const of = Array.isArray(dimensions) ? dimensions.map(({ value }) => String(value)) : Object.values(dimensions);
    return metricName === undefined
      ? []
      : [[`${metricName} ${metricStat?.stat ?? metric?.stat}`, [...new Set(of)].join(" ")]];
  });
  const metrics = Map.groupBy(watched, ([what]) => what);
  return [
    ...list.flatMap(({ expression }) => expression ?? []),
    ...[...metrics].map(([what, rows]) => `${what} of ${[...new Set(rows.map(([, of]) => of))].join(", ")}`),
  ];
}

interface Container {
  readonly environment?: readonly { readonly name: string }[];
  readonly secrets?: readonly { readonly name: string }[];
  readonly healthCheck?: { readonly command: string[] } & Record<string, unknown>;
  readonly logConfiguration?: { readonly options: { readonly mode: string } };
  readonly image: string;
  readonly [field: string]: unknown;
}

function container(definition: Container): Phrases {
  const {
    environment,
    secrets,
    healthCheck,
    logConfiguration,
    image: _,
    essential,
    pseudoTerminal,
    ...rest
  } = definition;
  const { command, ...times } = healthCheck ?? { command: [] };
  return [
    text(rest).slice(1, -1),
    healthCheck && `healthy by ${command.join(" ")} ${text(times)}`,
    `logs ${logConfiguration?.options.mode}`,
    environment && `variables ${variables(environment.map(({ name }) => name))}`,
    secrets && secrets.length > 0 && `secrets ${variables(secrets.map(({ name }) => name))}`,
  ];
}

interface StackResource {
  readonly Type: string;
  readonly Properties: { readonly Environment?: { readonly Variables: object } } & Inputs;
  readonly UpdatePolicy?: unknown;
}

/** A resource of a template, without tags; of an alias there is nothing more to say. */
function stackResource({ Type, Properties, UpdatePolicy }: StackResource): string {
  const { Environment, Tags: _, PropagateTags: __, ...rest } = Properties;
  const named = Environment && { Variables: variables(Object.keys(Environment.Variables)) };
  const properties = Type === "AWS::Lambda::Alias" ? "" : ` ${text({ ...rest, ...named })}`;
  return `${Type}${properties}${UpdatePolicy ? ` by ${text(UpdatePolicy)}` : ""}`;
}

/** SST's own are everywhere. */
function variables(names: readonly string[]): string {
  return names
    .filter((name) => !name.startsWith("SST_"))
    .sort()
    .join(" ");
}

export const WHAT_MATTERS: Readonly<Record<string, (inputs: Inputs) => Phrases>> = {
  "appautoscaling.Policy": (inputs) => {
    const { customizedMetricSpecification, ...tracking } = (inputs.targetTrackingScalingPolicyConfiguration ?? {}) as {
      customizedMetricSpecification?: { metrics: MetricQuery[] };
    };
    const metrics = queries(customizedMetricSpecification?.metrics ?? []);
    return [text(inputs.stepScalingPolicyConfiguration ?? tracking), ...metrics];
  },
  "appautoscaling.Target": (inputs) => [
    `${inputs.minCapacity} to ${inputs.maxCapacity}`,
    ...fields(inputs, "suspendedState"),
  ],
  "autoscaling.Group": (inputs) => [
    `${inputs.minSize} to ${inputs.maxSize}`,
    `in ${text(inputs.vpcZoneIdentifiers)}`,
    ...fields(inputs, "protectFromScaleIn", "launchTemplate", "mixedInstancesPolicy", "warmPool", "capacityRebalance"),
  ],
  "cloudformation.Stack": ({ templateBody, parameters }) => [
    ...Object.values((JSON.parse(String(templateBody)) as { Resources: Record<string, StackResource> }).Resources).map(
      stackResource,
    ),
    parameters !== undefined && `of ${text((parameters as Inputs).Function)}`,
  ],
  "cloudwatch.LogGroup": ({ retentionInDays }) => [`${retentionInDays} days`],
  "cloudwatch.MetricAlarm": (inputs) => [
    ...(inputs.metricQueries
      ? queries(inputs.metricQueries as MetricQuery[])
      : fields(inputs, "metricName", "dimensions")),
    `${inputs.comparisonOperator === "LessThanThreshold" ? "<" : ">"} ${inputs.threshold} in ${inputs.evaluationPeriods}`,
    inputs.alarmActions !== undefined && `tells ${text(inputs.alarmActions)}`,
  ],
  "codedeploy.DeploymentConfig": (inputs) => fields(inputs, "trafficRoutingConfig"),
  "codedeploy.DeploymentGroup": (inputs) =>
    fields(inputs, "deploymentConfigName", "alarmConfiguration", "autoRollbackConfiguration"),
  "docker-build.Image": ({ dockerfile, platforms, target, buildArgs }) => [
    String((dockerfile as Inputs).location).replace(/^.*\/(?=.*\/)/, ""),
    text(platforms),
    target !== undefined && `target ${target}`,
    Object.keys(buildArgs as Inputs).length > 0 && text(buildArgs),
  ],
  "ec2.LaunchTemplate": (inputs) => [
    ...fields(inputs, "imageId", "instanceType"),
    ...(inputs.blockDeviceMappings as { ebs: Inputs }[]).map(({ ebs }) => text(ebs)),
    text(inputs.metadataOptions),
    `in ${text(inputs.vpcSecurityGroupIds)}`,
  ],
  "ec2.SecurityGroup": (inputs) => fields(inputs, "ingress", "egress"),
  "ec2.Subnet": ({ cidrBlock, mapPublicIpOnLaunch }) => [String(cidrBlock), mapPublicIpOnLaunch === true && "public"],
  "ec2.VpcEndpoint": ({ serviceName, vpcEndpointType }) => [`${serviceName} ${vpcEndpointType}`],
  "ecr.LifecyclePolicy": ({ policy }) => [text(JSON.parse(String(policy)))],
  "ecr.Repository": (inputs) =>
    fields(inputs, "name", "encryptionConfigurations", "imageScanningConfiguration", "forceDelete"),
  "ecr.RepositoryPolicy": ({ policy }) => statements(policy),
  "ecs.CapacityProvider": ({ autoScalingGroupProvider = {} }) => {
    const { managedScaling = {}, ...rest } = autoScalingGroupProvider as { managedScaling?: Inputs };
    return [text(managedScaling), ...fields(rest as Inputs, "managedDraining", "managedTerminationProtection")];
  },
  "ecs.Cluster": ({ settings }) => [text(settings)],
  "ecs.ClusterCapacityProviders": ({ capacityProviders }) => [text(capacityProviders)],
  "ecs.Service": (inputs) => [
    `${inputs.desiredCount} replicas`,
    `${inputs.deploymentMinimumHealthyPercent} to ${inputs.deploymentMaximumPercent} %`,
    ...fields(inputs, "launchType", "capacityProviderStrategies", "deploymentCircuitBreaker", "alarms"),
    ...fields(inputs, "networkConfiguration", "loadBalancers").filter((phrase) => phrase !== "loadBalancers "),
  ],
  "ecs.TaskDefinition": (inputs) => [
    `${text(inputs.requiresCompatibilities)} ${inputs.networkMode}`,
    ...fields(inputs, "cpu", "memory"),
    (inputs.volumes as unknown[] | undefined)?.length !== 0 && `volumes ${text(inputs.volumes)}`,
    ...(JSON.parse(String(inputs.containerDefinitions)) as Container[]).flatMap(container),
  ],
  "iam.Role": ({ assumeRolePolicy, managedPolicyArns = [], inlinePolicies = [] }) => [
    ...statements(assumeRolePolicy).map((phrase) => phrase.replace(/^sts:AssumeRole by {Service: (.*?)}/, "by $1")),
    ...(managedPolicyArns as string[]),
    ...grants((inlinePolicies as { policy: unknown }[]).map(({ policy }) => policy)),
  ],
  "iam.RolePolicyAttachment": ({ policyArn }) => [String(policyArn).replace(/^.*\//, "")],
  "lambda.EventSourceMapping": (inputs) => [
    `${inputs.eventSourceArn} to ${inputs.functionName}`,
    ...fields(inputs, "batchSize", "scalingConfig"),
    text(inputs.functionResponseTypes),
  ],
  "lambda.Function": (inputs) => [
    `${inputs.runtime} ${text(inputs.architectures)}`,
    `${inputs.memorySize} MB, ${inputs.timeout} s`,
    inputs.publish === true && "versions",
    inputs.reservedConcurrentExecutions !== undefined && `${inputs.reservedConcurrentExecutions} at most`,
    ...fields(inputs, "vpcConfig"),
    `variables ${variables(Object.keys((inputs.environment as { variables?: object } | undefined)?.variables ?? {}))}`,
  ],
  "lambda.FunctionUrl": (inputs) => fields(inputs, "qualifier", "authorizationType", "invokeMode", "cors"),
  "lambda.Permission": (inputs) =>
    fields(inputs, "action", "principal", "function", "qualifier", "functionUrlAuthType"),
  "lambda.ProvisionedConcurrencyConfig": (inputs) => [
    `${inputs.provisionedConcurrentExecutions} of ${inputs.functionName}`,
  ],
  "lb.Listener": (inputs) => fields(inputs, "port", "protocol"),
  "lb.LoadBalancer": (inputs) => fields(inputs, "internal", "loadBalancerType", "idleTimeout"),
  "lb.TargetGroup": (inputs) => fields(inputs, "port", "protocol", "targetType", "healthCheck", "deregistrationDelay"),
  "s3.Bucket": (inputs) => fields(inputs, "forceDestroy"),
  "s3.BucketCorsConfiguration": ({ corsRules }) => [text(corsRules)],
  "s3.BucketLifecycleConfiguration": ({ rules }) =>
    (rules as Inputs[]).map(({ id: _, status: __, ...rule }) => text(rule)),
  "s3.BucketOwnershipControls": ({ rule }) => [text((rule as Inputs).objectOwnership)],
  "s3.BucketPolicy": ({ policy }) => statements(policy),
  "s3.BucketPublicAccessBlock": (inputs) =>
    fields(inputs, "blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"),
  "s3.BucketServerSideEncryptionConfiguration": ({ rules }) => [text(rules)],
  "sns.Topic": (inputs) => fields(inputs, "kmsMasterKeyId"),
  "sns.TopicPolicy": ({ policy }) => statements(policy),
  "sns.TopicSubscription": ({ protocol, endpoint }) => [`${protocol} ${endpoint}`],
  "sqs.Queue": (inputs) => {
    const redrive = inputs.redrivePolicy as string | undefined;
    const { deadLetterTargetArn, maxReceiveCount } = JSON.parse(redrive ?? "{}") as Record<string, unknown>;
    return [
      `invisible ${inputs.visibilityTimeoutSeconds} s`,
      inputs.messageRetentionSeconds !== undefined && `kept ${inputs.messageRetentionSeconds} s`,
      redrive !== undefined && `after ${maxReceiveCount} to ${deadLetterTargetArn}`,
      inputs.sqsManagedSseEnabled === true && "encrypted",
      ...fields(inputs, "kmsMasterKeyId"),
    ];
  },
  // The queue that it is of is the one that it is on.
  "sqs.QueuePolicy": ({ policy }) => statements(policy).map((phrase) => phrase.replace(/ on \S+$/, "")),
  "ssm.Parameter": ({ type }) => [String(type)],
  "vpc.SecurityGroupEgressRule": (inputs) =>
    fields(inputs, "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"),
  "vpc.SecurityGroupIngressRule": (inputs) =>
    fields(inputs, "securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId"),
};
