/** Looks things up in a graph, and writes one small enough to read. */
import type { Graph, GraphResource } from "./synth.ts";

/** Every resource of a type (`aws:sqs/queue:Queue`), by name. */
export function resourcesOf({ resources }: Graph, type: string): GraphResource[] {
  return resources.filter((resource) => resource.type === type).sort(byName);
}

/**
 * The one resource of a type, or of a type and a name.
 * @throws Error that says which there are, where it is not one.
 */
export function resourceOf(graph: Graph, type: string, name?: string): GraphResource {
  const all = resourcesOf(graph, type);
  const found = all.filter((resource) => name === undefined || resource.name === name);
  if (found.length === 1) return found[0] as GraphResource;
  const names = all.map((resource) => resource.name).join(", ") || `none; types are ${typesOf(graph).join(", ")}`;
  throw new Error(`${found.length} resources are ${type} ${name ?? ""}; there are ${names}`);
}

function typesOf({ resources }: Graph): string[] {
  return [...new Set(resources.map(({ type }) => type))].sort();
}

function byName(one: GraphResource, other: GraphResource): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}

/**
 * A line a resource, by type and name, with the fields of its type that matter: `sqs.Queue JobsQueue visibility: 180`.
 * Components and what has no fields that matter stand with their name alone, or not at all.
 */
export function graphSummary({ resources }: Graph): string {
  return resources
    .filter(({ custom }) => custom)
    .map((resource) => summaryOf(resource))
    .sort()
    .join("\n");
}

/** A longer list has a line for each item. */
const LINE = 100;

/** `aws:sqs/queue:Queue` as `sqs.Queue`. */
function shortType(type: string): string {
  const [, service, kind] = /^aws:(\w+)\/\w+:(\w+)$/.exec(type) ?? [];
  return service === undefined ? type : `${service}.${kind}`;
}

function summaryOf({ type, name, inputs, options }: GraphResource): string {
  const short = shortType(type);
  const fields = (SHOWN[short] ?? []).flatMap((field) => {
    const value = shown(field, inputs[field]);
    if (value === undefined) return [];
    if (!Array.isArray(value) || text(value).length < LINE) return [`${field}: ${text(value)}`];
    return [`${field}:`, ...value.map((item) => `    ${text(item)}`)];
  });
  if (options.retainOnDelete) fields.push("retained");
  if (options.protect) fields.push("protected");
  return [`${short} ${name}`, ...fields].join("\n    ");
}

/** A field as it is shown: documents are read, of an environment only the names are. */
function shown(field: string, value: unknown): unknown {
  if (/^(assumeRole)?policy$/i.test(field) && !String(value).startsWith('{"rules"')) return statements(value);
  if (field === "inlinePolicies")
    return (value as { policy: string }[] | undefined)?.flatMap(({ policy }) => statements(policy) ?? []);
  if (field === "environment")
    return Object.keys((value as { variables?: object } | undefined)?.variables ?? {}).sort();
  if (field === "containerDefinitions" && typeof value === "string") return JSON.parse(value).map(container);
  if (typeof value === "string" && /^\{"/.test(value)) return JSON.parse(value);
  return value;
}

interface Statement {
  readonly Effect: string;
  readonly Action: unknown;
  readonly Resource?: unknown;
  readonly Principal?: unknown;
  readonly Condition?: unknown;
}

/** Of a policy, as text or as an object: a line each. */
function statements(policy: unknown): string[] | undefined {
  if (policy === undefined) return undefined;
  const document = (typeof policy === "string" ? JSON.parse(policy) : policy) as { Statement: Statement | Statement[] };
  return [document.Statement].flat().map(({ Effect, Action, Resource, Principal, Condition }) => {
    const parts = [`${Effect} ${[Action].flat().join(" ")}`];
    if (Resource !== undefined) parts.push(`on ${[Resource].flat().join(" ")}`);
    if (Principal !== undefined) parts.push(`to ${text(Principal)}`);
    if (Condition !== undefined) parts.push(`if ${text(Condition)}`);
    return parts.join(" ");
  });
}

function container({
  environment = [],
  logConfiguration: _,
  ...rest
}: { environment?: { name: string }[] } & Record<string, unknown>) {
  return { ...rest, environment: environment.map(({ name }) => name).sort() };
}

/** Like JSON, with fewer quotes. */
function text(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(text).join(", ")}]`;
  if (value === null || typeof value !== "object") return String(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{ ${members.map(([key, member]) => `${key}: ${text(member)}`).join(", ")} }`;
}

/** By type: the fields that say what it does. */
const SHOWN: Record<string, readonly string[]> = {
  "appautoscaling.Policy": [
    "policyType",
    "resourceId",
    "stepScalingPolicyConfiguration",
    "targetTrackingScalingPolicyConfiguration",
  ],
  "appautoscaling.Target": ["resourceId", "minCapacity", "maxCapacity"],
  "autoscaling.Group": [
    "minSize",
    "maxSize",
    "vpcZoneIdentifiers",
    "protectFromScaleIn",
    "mixedInstancesPolicy",
    "launchTemplate",
    "warmPool",
  ],
  "cloudformation.Stack": ["templateBody"],
  "cloudwatch.LogGroup": ["retentionInDays"],
  "cloudwatch.MetricAlarm": [
    "namespace",
    "metricName",
    "statistic",
    "comparisonOperator",
    "threshold",
    "evaluationPeriods",
    "period",
    "dimensions",
    "alarmActions",
    "metricQueries",
  ],
  "codedeploy.DeploymentConfig": ["computePlatform", "trafficRoutingConfig"],
  "codedeploy.DeploymentGroup": ["deploymentConfigName", "alarmConfiguration", "autoRollbackConfiguration"],
  "ec2.LaunchTemplate": [
    "imageId",
    "instanceType",
    "metadataOptions",
    "blockDeviceMappings",
    "instanceMarketOptions",
    "networkInterfaces",
    "vpcSecurityGroupIds",
  ],
  "ec2.SecurityGroup": ["ingress", "egress"],
  "ec2.Subnet": ["cidrBlock", "mapPublicIpOnLaunch"],
  "ec2.VpcEndpoint": ["serviceName", "vpcEndpointType"],
  "ecr.LifecyclePolicy": ["policy"],
  "ecr.Repository": ["name", "encryptionConfigurations", "imageScanningConfiguration", "forceDelete"],
  "ecr.RepositoryPolicy": ["policy"],
  "ecs.CapacityProvider": ["autoScalingGroupProvider", "managedInstancesProvider"],
  "ecs.Cluster": ["settings"],
  "ecs.ClusterCapacityProviders": ["capacityProviders", "defaultCapacityProviderStrategies"],
  "ecs.Service": [
    "desiredCount",
    "capacityProviderStrategies",
    "launchType",
    "deploymentMinimumHealthyPercent",
    "deploymentMaximumPercent",
    "deploymentCircuitBreaker",
    "deploymentConfiguration",
    "loadBalancers",
  ],
  "ecs.TaskDefinition": ["requiresCompatibilities", "networkMode", "cpu", "memory", "containerDefinitions"],
  "iam.Policy": ["policy"],
  "iam.Role": ["assumeRolePolicy", "managedPolicyArns", "inlinePolicies"],
  "iam.RolePolicy": ["policy"],
  "lambda.Alias": ["name", "functionVersion", "routingConfig"],
  "lambda.EventSourceMapping": [
    "eventSourceArn",
    "functionName",
    "batchSize",
    "functionResponseTypes",
    "scalingConfig",
  ],
  "lambda.Function": [
    "handler",
    "runtime",
    "architectures",
    "memorySize",
    "timeout",
    "publish",
    "reservedConcurrentExecutions",
    "vpcConfig",
    "environment",
  ],
  "lambda.FunctionUrl": ["qualifier", "authorizationType", "invokeMode", "cors"],
  "lambda.Permission": ["action", "principal", "functionName", "qualifier", "functionUrlAuthType"],
  "lambda.ProvisionedConcurrencyConfig": ["functionName", "qualifier", "provisionedConcurrentExecutions"],
  "lb.Listener": ["port", "protocol", "defaultActions"],
  "lb.LoadBalancer": ["internal", "loadBalancerType", "idleTimeout"],
  "lb.TargetGroup": ["port", "protocol", "targetType", "healthCheck", "deregistrationDelay"],
  "s3.Bucket": ["forceDestroy"],
  "s3.BucketCorsConfiguration": ["corsRules"],
  "s3.BucketLifecycleConfiguration": ["rules"],
  "s3.BucketOwnershipControls": ["rule"],
  "s3.BucketPolicy": ["policy"],
  "s3.BucketPublicAccessBlock": ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"],
  "s3.BucketServerSideEncryptionConfiguration": ["rules"],
  "sns.TopicSubscription": ["protocol", "endpoint"],
  "sqs.Queue": [
    "visibilityTimeoutSeconds",
    "messageRetentionSeconds",
    "redrivePolicy",
    "redriveAllowPolicy",
    "sqsManagedSseEnabled",
    "kmsMasterKeyId",
  ],
  "sqs.QueuePolicy": ["policy"],
};
