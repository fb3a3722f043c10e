/** What AWS would answer, in AWS's forms: names, ids and ARNs. What is known of nothing else reads `<property of Name>`. */
import type { Inputs } from "./platform.ts";

export const ACCOUNT = "123456789012";

/** A resource as it was asked for. */
export interface Asked {
  readonly type: string;
  /** Logical name. */
  readonly name: string;
  readonly inputs: Inputs;
  /** Properties that only AWS gives. */
  readonly outputs: readonly string[];
  readonly region: string;
}

/** @returns the resource's id and its properties: those asked for, and what AWS adds. */
export function answer(asked: Asked): { id: string; state: Inputs } {
  const { name, inputs, outputs } = asked;
  const unknown = Object.fromEntries(outputs.map((property) => [property, `<${property} of ${name}>`]));
  const known = { name: physicalName(asked), arn: arn(asked), tagsAll: inputs.tags, ...special(asked) };
  const given = Object.fromEntries(Object.entries(inputs).filter(([, value]) => value !== undefined));
  return { id: id(asked), state: { ...unknown, ...known, ...given } };
}

/** The name that was asked for; logical where AWS or Pulumi makes one. */
function physicalName({ name, inputs }: Asked): string {
  for (const field of ["name", "bucket", "family", "dashboardName", "functionName"]) {
    const value = inputs[field];
    if (typeof value === "string") return value;
  }
  return name;
}

const ARNS: Record<string, (name: string, asked: Asked) => string> = {
  "aws:s3/bucket:Bucket": (name) => `arn:aws:s3:::${name}`,
  "aws:sqs/queue:Queue": (name, { region }) => `arn:aws:sqs:${region}:${ACCOUNT}:${name}`,
  "aws:sns/topic:Topic": (name, { region }) => `arn:aws:sns:${region}:${ACCOUNT}:${name}`,
  "aws:lambda/function:Function": (name, { region }) => `arn:aws:lambda:${region}:${ACCOUNT}:function:${name}`,
  "aws:lambda/alias:Alias": (_, { inputs, region }) => {
    const fn = String(inputs.functionName).replace(/^arn:.*:function:/, "");
    return `arn:aws:lambda:${region}:${ACCOUNT}:function:${fn}:${inputs.name}`;
  },
  "aws:iam/role:Role": (name) => `arn:aws:iam::${ACCOUNT}:role/${name}`,
  "aws:iam/policy:Policy": (name) => `arn:aws:iam::${ACCOUNT}:policy/${name}`,
  "aws:iam/instanceProfile:InstanceProfile": (name) => `arn:aws:iam::${ACCOUNT}:instance-profile/${name}`,
  "aws:cloudwatch/logGroup:LogGroup": (name, { region }) => `arn:aws:logs:${region}:${ACCOUNT}:log-group:${name}`,
  "aws:cloudwatch/metricAlarm:MetricAlarm": (name, { region }) =>
    `arn:aws:cloudwatch:${region}:${ACCOUNT}:alarm:${name}`,
  "aws:cloudwatch/compositeAlarm:CompositeAlarm": (name, { region }) =>
    `arn:aws:cloudwatch:${region}:${ACCOUNT}:alarm:${name}`,
  "aws:cloudwatch/dashboard:Dashboard": (name) => `arn:aws:cloudwatch::${ACCOUNT}:dashboard/${name}`,
  "aws:ecs/cluster:Cluster": (name, { region }) => `arn:aws:ecs:${region}:${ACCOUNT}:cluster/${name}`,
  "aws:ecs/taskDefinition:TaskDefinition": (name, { region }) =>
    `arn:aws:ecs:${region}:${ACCOUNT}:task-definition/${name}:1`,
  "aws:ecs/capacityProvider:CapacityProvider": (name, { region }) =>
    `arn:aws:ecs:${region}:${ACCOUNT}:capacity-provider/${name}`,
  "aws:ecs/service:Service": (name, { region, inputs }) =>
    `arn:aws:ecs:${region}:${ACCOUNT}:service/${String(inputs.cluster).split("/").at(-1)}/${name}`,
  "aws:autoscaling/group:Group": (name, { region }) =>
    `arn:aws:autoscaling:${region}:${ACCOUNT}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/${name}`,
  "aws:appautoscaling/policy:Policy": (name, { region, inputs }) =>
    `arn:aws:autoscaling:${region}:${ACCOUNT}:scalingPolicy:00000000-0000-0000-0000-000000000000:resource/ecs/${inputs.resourceId}:policyName/${name}`,
  "aws:lb/loadBalancer:LoadBalancer": (name, { region }) =>
    `arn:aws:elasticloadbalancing:${region}:${ACCOUNT}:loadbalancer/app/${name}/0123456789abcdef`,
  "aws:lb/targetGroup:TargetGroup": (name, { region }) =>
    `arn:aws:elasticloadbalancing:${region}:${ACCOUNT}:targetgroup/${name}/0123456789abcdef`,
};

/** `arn:aws:<service>:<region>:<account>:<kind>/<name>`, where AWS has no other form. */
function arn(asked: Asked): string {
  const { type, region } = asked;
  const name = physicalName(asked);
  const form = ARNS[type];
  if (form) return form(name, asked);
  const [, service, kind] = /^aws:(\w+)\/(\w+):/.exec(type) ?? ["", type.split(":")[0], "resource"];
  return `arn:aws:${service}:${region}:${ACCOUNT}:${kind}/${name}`;
}

/** Types whose id is their name; queues' is their URL, many others' their ARN. */
const NAMED = /^aws:(s3|iam|lambda|cloudwatch|autoscaling)\/|^aws:ecs\/service:/;
const BY_ARN = /^aws:(sns\/topic|ecs\/|lb\/|cloudwatch\/compositeAlarm)/;

function id(asked: Asked): string {
  if (asked.type === "aws:sqs/queue:Queue") return queueUrl(asked);
  if (BY_ARN.test(asked.type)) return arn(asked);
  if (NAMED.test(asked.type)) return physicalName(asked);
  return `<id of ${asked.name}>`;
}

function queueUrl(asked: Asked): string {
  return `https://sqs.${asked.region}.amazonaws.com/${ACCOUNT}/${physicalName(asked)}`;
}

/** What programs compute with, so that it must have its form. */
function special(asked: Asked): Inputs {
  const { type, name, region, inputs } = asked;
  switch (type) {
    case "aws:sqs/queue:Queue":
      return { url: queueUrl(asked) };
    case "aws:s3/bucket:Bucket":
      return {
        bucket: physicalName(asked),
        bucketRegionalDomainName: `${physicalName(asked)}.s3.${region}.amazonaws.com`,
      };
    case "aws:lambda/function:Function":
      return { version: "1", qualifiedArn: `${arn(asked)}:1`, invokeArn: `<invokeArn of ${name}>` };
    case "aws:lambda/functionUrl:FunctionUrl":
      return { functionUrl: `https://${name.toLowerCase()}.lambda-url.${region}.on.aws/` };
    case "aws:ecr/repository:Repository":
      return {
        registryId: ACCOUNT,
        repositoryUrl: `${ACCOUNT}.dkr.ecr.${region}.amazonaws.com/${physicalName(asked)}`,
      };
    case "aws:ec2/launchTemplate:LaunchTemplate":
      return { latestVersion: 1, defaultVersion: 1 };
    case "aws:ecs/taskDefinition:TaskDefinition":
      return { revision: 1, arnWithoutRevision: arn(asked).replace(/:1$/, "") };
    case "aws:lb/loadBalancer:LoadBalancer":
      return {
        dnsName: `internal-${physicalName(asked)}-0123456789.${region}.elb.amazonaws.com`,
        arnSuffix: arn(asked).split(":loadbalancer/").at(-1),
      };
    case "aws:lb/targetGroup:TargetGroup":
      return { arnSuffix: arn(asked).split(":").at(-1) };
    case "docker-build:index:Image": {
      const digest = `sha256:${"0".repeat(64)}`;
      return { digest, ref: `${(inputs.tags as string[] | undefined)?.[0] ?? name}@${digest}` };
    }
    default:
      return {};
  }
}

/** Data sources. */
export function answerCall(token: string, inputs: Inputs, region: string): Inputs {
  switch (token) {
    case "aws:index/getRegion:getRegion":
      return { name: region, region, id: region };
    case "aws:index/getCallerIdentity:getCallerIdentity":
      return { accountId: ACCOUNT, arn: `arn:aws:iam::${ACCOUNT}:root`, userId: "<userId>" };
    case "aws:index/getPartition:getPartition":
      return { partition: "aws", dnsSuffix: "amazonaws.com" };
    case "aws:index/getAvailabilityZones:getAvailabilityZones":
      return {
        names: ["a", "b", "c", "d"].map((zone) => `${region}${zone}`),
        zoneIds: [1, 2, 3, 4].map((zone) => `az${zone}`),
      };
    case "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {
      // Newer types are not sold in the first zone.
      const types = (inputs.filters as { values: string[] }[] | undefined)?.[0]?.values ?? [];
      const sold = types.flatMap((type) => ["b", "c", "d"].map((zone) => [type, `${region}${zone}`]));
      return { ...inputs, instanceTypes: sold.map(([type]) => type), locations: sold.map(([, zone]) => zone) };
    }
    case "aws:ssm/getParameter:getParameter":
      return { ...inputs, value: `<value of ${inputs.name}>`, type: "String" };
    case "aws:ec2/getAmi:getAmi":
      return { ...inputs, id: "<id of ami>", imageId: "<id of ami>" };
    case "aws:iam/getPolicyDocument:getPolicyDocument":
      return { ...inputs, json: JSON.stringify(policyDocument(inputs), null, 2) };
    case "aws:ecr/getAuthorizationToken:getAuthorizationToken":
      return {
        proxyEndpoint: `https://${ACCOUNT}.dkr.ecr.${region}.amazonaws.com`,
        userName: "AWS",
        password: "<password>",
      };
    default:
      throw new Error(`test/infra/mocked-outputs.ts answers no ${token}`);
  }
}

interface Statement {
  readonly sid?: string;
  readonly effect?: string;
  readonly actions?: readonly string[];
  readonly resources?: readonly string[];
  readonly principals?: readonly { readonly type: string; readonly identifiers: readonly string[] }[];
  readonly conditions?: readonly {
    readonly test: string;
    readonly variable: string;
    readonly values: readonly string[];
  }[];
}

/** The document that the AWS provider makes of statements. */
function policyDocument({ statements = [] }: { statements?: readonly Statement[] }): unknown {
  const single = (items: readonly string[]) => (items.length === 1 ? items[0] : [...items].sort());
  return {
    Version: "2012-10-17",
    Statement: statements.map(({ sid, effect = "Allow", actions, resources, principals, conditions }) => ({
      ...(sid && { Sid: sid }),
      Effect: effect,
      ...(actions && { Action: single(actions) }),
      ...(resources && { Resource: single(resources) }),
      ...(principals && {
        Principal: principals.some(({ type }) => type === "*")
          ? "*"
          : Object.fromEntries(principals.map(({ type, identifiers }) => [type, single(identifiers)])),
      }),
      ...(conditions && {
        Condition: Object.fromEntries(
          conditions.map(({ test, variable, values }) => [test, { [variable]: single(values) }]),
        ),
      }),
    })),
  };
}
