/// <reference path="../../.sst/platform/config.d.ts" />
import type { FunctionPlan, LambdaPlan, QueueFunctionPlan, ServicePlan } from "../plan/deployment-plan.ts";
import { logicalName, type VersionedName } from "../plan/names.ts";
import { createLiveAlias } from "./alias-shift.ts";
import { splitEnvironment } from "./canary-split.ts";
import { type Deployment, made } from "./deployed.ts";
import { createEventSource } from "./event-sources.ts";
import { deadLetterEnvironment, environmentOf } from "./locations.ts";
import { type Statement, statementsOf } from "./permissions.ts";
import { serviceTags } from "./service-tags.ts";

/** Bundles as functions/build.ts does. SST adds a `require` to every file, so that there is no banner of ours. */
const BUNDLE = {
  minify: true,
  splitting: true,
  plugins: "functions/bundle-plugins.mjs",
  esbuild: { target: "esnext", sourcemap: false, keepNames: false },
} as const;
/** Installed beside the bundle, in package.json's version: sharp for its native code, and pino, loaded late. */
const INSTALLED = ["sharp", "pino"];

/**
 * A CPU service: its function, and the one that runs its own queue. Callers, the URL and the queues use the alias `live`.
 * Its queues, and the services that it calls, must have been made.
 */
export function createFunctionService(service: FunctionPlan, deployment: Deployment): void {
  const { entry } = deployment.plan;
  const { name, function: invoked, queueFunction } = service;
  const isEntry = name === entry.service;
  const id = logicalName(service);
  if (invoked) {
    const fn = createFunction(id, service, invoked, deployment, {
      environment: {
        ...environmentOf(service, deployment),
        ...(isEntry && { TANDEM_INVOKE_MODE: entry.invokeMode }),
        ...(isEntry && splitEnvironment(deployment)),
      },
      statements: statementsOf(service.permissions, deployment),
      install: INSTALLED,
      streaming: isEntry && entry.invokeMode === "RESPONSE_STREAM",
    });
    deployment.functions.set(name, createLiveAlias(id, service, fn, invoked, deployment));
  }
  if (queueFunction) {
    const environment = environmentOf({ ...service, secrets: queueFunction.secrets }, deployment);
    createQueueFunction(service, queueFunction, environment, deployment);
  }
}

/** The function that answers what was given up in a service's queue, of whatever kind the service is. */
export function createDeadLetterFunction(service: ServicePlan, deployment: Deployment): void {
  if (!service.queue) return;
  const { deadLetterFunction, deadLetterPermissions } = service.queue;
  const { deadLetters } = made(deployment.queues.get(service.name), `queues of ${service.name}`);
  const id = `${logicalName(service)}DeadLetters`;
  const fn = createFunction(id, service, deadLetterFunction, deployment, {
    environment: deadLetterEnvironment(service, deployment),
    statements: statementsOf(deadLetterPermissions, deployment),
    install: ["pino"],
    versioning: false,
  });
  createEventSource(`${id}Source`, service, deadLetters, fn.arn);
}

function createQueueFunction(
  service: FunctionPlan,
  plan: QueueFunctionPlan,
  environment: FunctionOptions["environment"],
  deployment: Deployment,
): void {
  const { queue, priority } = made(deployment.queues.get(service.name), `queues of ${service.name}`);
  const logical = logicalName(service);
  const id = `${logical}QueueRunner`;
  const fn = createFunction(id, service, plan, deployment, {
    environment,
    statements: statementsOf(plan.permissions, deployment),
    install: INSTALLED,
  });
  const { aliasArn } = createLiveAlias(id, service, fn, plan, deployment);
  const { batchSize, maximumConcurrency } = plan;
  const lanes = { QueueSource: queue, PriorityQueueSource: priority };
  for (const [role, lane] of Object.entries(lanes))
    createEventSource(`${logical}${role}`, service, lane, aliasArn, { batchSize, maximumConcurrency });
}

interface FunctionOptions {
  readonly environment: Readonly<Record<string, $util.Input<string>>>;
  readonly statements: readonly Statement[];
  readonly install: readonly string[];
  /** Whether the function's URL streams: `sst dev` must know. */
  readonly streaming?: boolean;
  /** Whether each deployment publishes a version, for an alias. */
  readonly versioning?: boolean;
}

/** A function with a role that may do what is stated and write its own log; in `sst dev` it runs on this machine. */
export function createFunction(
  id: string,
  service: VersionedName,
  plan: LambdaPlan,
  deployment: Deployment,
  { environment, statements, install, streaming = false, versioning = true }: FunctionOptions,
): sst.aws.Function {
  const tags = serviceTags(service);
  const logGroup = new aws.cloudwatch.LogGroup(`${id}Logs`, {
    name: `/aws/lambda/${plan.physicalName}`,
    retentionInDays: deployment.plan.logRetentionDays,
    tags,
  });
  const writesLog = {
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    resources: [$interpolate`${logGroup.arn}:*`],
  };
  const network = plan.inVpc && !$dev ? made(deployment.functionNetwork, "network of functions") : undefined;
  const fn = new sst.aws.Function(id, {
    name: plan.physicalName,
    handler: plan.handler,
    runtime: plan.runtime,
    architecture: plan.architecture,
    memory: `${plan.memory} MB`,
    timeout: `${plan.timeout} seconds`,
    environment: { ...environment },
    permissions: [...statements, writesLog, ...(network ? networkInterfaces(plan.physicalName) : [])],
    logging: { logGroup: logGroup.name },
    nodejs: { ...BUNDLE, install: [...install] },
    streaming,
    versioning,
    ...(!$dev && plan.reservedConcurrency !== undefined && { concurrency: { reserved: plan.reservedConcurrency } }),
    ...(network && { vpc: { privateSubnets: network.subnetIds, securityGroups: network.securityGroupIds } }),
    tags,
    transform: {
      role: (role) => {
        // AWS's own policies let a function write any log; what it needs is stated above.
        role.managedPolicyArns = [];
        // SST's role may be taken by everybody in the account who may take roles, which `sst dev` needs.
        if (!$dev) role.assumeRolePolicy = aws.iam.assumeRolePolicyForPrincipal({ Service: "lambda.amazonaws.com" });
        role.tags = tags;
      },
    },
  });
  if (versioning) deployment.revisions.push(fn.nodes.function.version);
  return fn;
}

/**
 * Lambda makes a function's network interfaces with the function's role, before they have a name. The function itself may
 * not: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
 */
function networkInterfaces(functionName: string): Statement[] {
  const actions = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ];
  const fromItsCode = {
    test: "ArnLike",
    variable: "lambda:SourceFunctionArn",
    values: [`arn:*:lambda:*:*:function:${functionName}`],
  };
  return [
    { actions, resources: ["*"] },
    { effect: "deny", actions, resources: ["*"], conditions: [fromItsCode] },
  ];
}
