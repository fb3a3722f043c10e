/// <reference path="../../.sst/platform/config.d.ts" />
import type { LambdaPlan, LambdaShift } from "../plan/deployment-plan.ts";
import type { VersionedName } from "../plan/names.ts";
import type { DeployedFunction, Deployment } from "./deployed.ts";
import { serviceTags } from "./service-tags.ts";

const LIVE = "live";
/** Minutes that a stack may take besides moving calls. */
const STACK_MINUTES = 15;

type Gradual = Exclude<LambdaShift, { type: "all-at-once" }>;

/**
 * The alias `live` of a function, and the instances kept warm for it. A deployment publishes a version and moves the alias
 * to it as the plan's shift says; `sst deploy` ends when all calls are there. An alarm meanwhile moves them back, and the
 * deployment fails.
 *
 * CloudFormation holds the alias, since it alone starts a CodeDeploy deployment when a version changes and waits for it;
 * whatever the shift, so that another strategy does not make a second alias of the same name. `sst dev` moves at once.
 */
export function createLiveAlias(
  id: string,
  service: VersionedName,
  fn: sst.aws.Function,
  { physicalName, shift, provisionedConcurrency }: LambdaPlan,
  deployment: Deployment,
): DeployedFunction {
  const tags = serviceTags(service);
  const gradual = $dev || shift.type === "all-at-once" ? undefined : shift;
  const alarms = errorAlarms(service, deployment);
  const rollout = gradual && createRollout(id, physicalName, fn, gradual, { alarms, tags });
  const stack = new aws.cloudformation.Stack(
    `${id}Live`,
    {
      name: `${physicalName}-${LIVE}`,
      parameters: { Function: fn.name, Version: fn.nodes.function.version },
      templateBody: $jsonStringify(aliasTemplate(rollout)),
      onFailure: "DELETE",
      tags,
    },
    { customTimeouts: { update: `${STACK_MINUTES + (gradual ? minutesOf(gradual) : 0)}m` } },
  );
  // Known from the function, there once the stack is.
  const alias = stack.id.apply(() => LIVE);
  if (provisionedConcurrency > 0 && !$dev)
    new aws.lambda.ProvisionedConcurrencyConfig(`${id}Provisioned`, {
      functionName: fn.name,
      qualifier: alias,
      provisionedConcurrentExecutions: provisionedConcurrency,
    });
  return { name: fn.name, alias, aliasArn: $interpolate`${fn.arn}:${alias}` };
}

interface Rollout {
  readonly ApplicationName: $util.Input<string>;
  readonly DeploymentGroupName: $util.Input<string>;
}

function aliasTemplate(rollout: Rollout | undefined) {
  const parameter = { Type: "String" };
  return {
    Parameters: { Function: parameter, Version: parameter },
    Resources: {
      Live: {
        Type: "AWS::Lambda::Alias",
        Properties: { Name: LIVE, FunctionName: { Ref: "Function" }, FunctionVersion: { Ref: "Version" } },
        ...(rollout && { UpdatePolicy: { CodeDeployLambdaAliasUpdate: rollout } }),
      },
    },
  };
}

/** How CodeDeploy moves a function's alias, and what may make it move back. */
function createRollout(
  id: string,
  physicalName: string,
  fn: sst.aws.Function,
  shift: Gradual,
  { alarms, tags }: { alarms: $util.Input<string>[]; tags: Record<string, string> },
): Rollout {
  const application = new aws.codedeploy.Application(`${id}Rollout`, {
    name: physicalName,
    computePlatform: "Lambda",
    tags,
  });
  const pace = paceOf(shift);
  const config = new aws.codedeploy.DeploymentConfig(`${id}RolloutPace`, {
    // A pace cannot be changed: another one has another name, so that it can be there before this one goes.
    deploymentConfigName: `${physicalName}-${shift.type}-${shift.percent}-${minutesOf(shift)}`,
    computePlatform: "Lambda",
    trafficRoutingConfig: pace,
  });
  const role = new aws.iam.Role(`${id}RolloutRole`, {
    namePrefix: physicalName.slice(0, 38),
    assumeRolePolicy: aws.iam.assumeRolePolicyForPrincipal({ Service: "codedeploy.amazonaws.com" }),
    inlinePolicies: [{ name: "inline", policy: movesAlias(fn.arn) }],
    tags,
  });
  const group = new aws.codedeploy.DeploymentGroup(`${id}RolloutGroup`, {
    appName: application.name,
    deploymentGroupName: LIVE,
    deploymentConfigName: config.deploymentConfigName,
    serviceRoleArn: role.arn,
    deploymentStyle: { deploymentType: "BLUE_GREEN", deploymentOption: "WITH_TRAFFIC_CONTROL" },
    autoRollbackConfiguration: { enabled: true, events: ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"] },
    ...(alarms.length > 0 && { alarmConfiguration: { enabled: true, alarms } }),
    tags,
  });
  return { ApplicationName: application.name, DeploymentGroupName: group.deploymentGroupName };
}

function paceOf(shift: Gradual): aws.types.input.codedeploy.DeploymentConfigTrafficRoutingConfig {
  return shift.type === "linear"
    ? { type: "TimeBasedLinear", timeBasedLinear: { percentage: shift.percent, interval: shift.everyMinutes } }
    : { type: "TimeBasedCanary", timeBasedCanary: { percentage: shift.percent, interval: shift.afterMinutes } };
}

/** Minutes from the first call on the new version until all are there. */
function minutesOf(shift: Gradual): number {
  return shift.type === "linear" ? Math.ceil(100 / shift.percent) * shift.everyMinutes : shift.afterMinutes;
}

/** CodeDeploy asks for alarms by a list of names, for which CloudWatch has no resource. */
function movesAlias(functionArn: $util.Input<string>): $util.Output<string> {
  return $jsonStringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"],
        Resource: [functionArn, $interpolate`${functionArn}:*`],
      },
      { Effect: "Allow", Action: ["cloudwatch:DescribeAlarms"], Resource: ["*"] },
    ],
  });
}

/** Alarms of a service that say something of a version of it. */
function errorAlarms({ name, version }: VersionedName, { plan, alarms }: Deployment): $util.Input<string>[] {
  return plan.alarms
    .filter((alarm) => alarm.service === name && alarm.version === version && alarm.metric === "error-rate")
    .flatMap(({ physicalName }) => alarms.get(physicalName) ?? []);
}
