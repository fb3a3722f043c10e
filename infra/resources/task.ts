/// <reference path="../../.sst/platform/config.d.ts" />
import type { ContainerPlan, GpuContainerPlan } from "../plan/deployment-plan.ts";
import { logicalName, physicalName } from "../plan/names.ts";
import type { Deployment } from "./deployed.ts";
import { containerPort } from "./load-balancer.ts";
import { environmentOf } from "./locations.ts";
import { serviceTags } from "./service-tags.ts";
import { executionRole, taskRole } from "./task-roles.ts";

/** A service that runs as ECS tasks. */
export type ContainerService = GpuContainerPlan | ContainerPlan;

/** What a container is, as ECS's API has it: as far as it is changed here. */
export interface ContainerDefinition {
  readonly [field: string]: unknown;
  readonly linuxParameters?: object;
  readonly logConfiguration?: { readonly logDriver: string; readonly options: object };
}

/** Longest tag of an image, in characters. */
const IMAGE_TAG = 128;
/** Metrics whose alarms stop a controlled rollout. */
const ROLLBACK_METRICS = ["error-rate", "dead-letters"];
/** Longest that ECS waits before it counts failures of a health check, and between two of them, in seconds. */
const HEALTH_LIMIT = 300;
const HEALTH_RETRIES = 10;
const HEALTH_INTERVAL = 30;
/** Seconds that every replica has at the least to become ready. */
const START_SECONDS = 600;

/** Seconds that a replica has to load its weights and become ready, before ECS replaces it. */
export function startSeconds(service: ContainerService): number {
  return service.kind === "gpu" ? Math.max(START_SECONDS, Math.ceil(2 * service.startEstimate.load)) : START_SECONDS;
}

/**
 * What `sst.aws.Service` is given for every container service; its own transforms come on top, since SST makes Fargate
 * services only. SST builds the image and pushes it to its repository.
 */
export function serviceArgs(service: ContainerService, deployment: Deployment, cluster: sst.aws.Cluster) {
  const { task, scaling } = service;
  const { plan } = deployment;
  const { context, dockerfile, args, platform, target } = task.image;
  const secrets = secretParameters(service, deployment);
  return {
    cluster,
    architecture: platform === "linux/arm64" ? ("arm64" as const) : ("x86_64" as const),
    // Tagged by the service's full name as well, or two deployments with the same service would take the tag from each other.
    image: {
      context,
      dockerfile,
      args: { ...args },
      tags: [physicalName([task.physicalName], IMAGE_TAG)],
      ...(target && { target }),
    },
    // Secrets come from `ssm`.
    environment: { AWS_REGION: plan.region, ...environmentOf({ ...service, secrets: [] }, deployment) },
    ssm: Object.fromEntries([...secrets].map(([variable, { arn }]) => [variable, arn])),
    health: healthCheck(service),
    logging: { name: logGroupName(service) },
    scaling: {
      min: scaling.minReplicas,
      max: scaling.maxReplicas,
      cpuUtilization: false as const,
      memoryUtilization: false as const,
    },
    transform: {
      logGroup: { retentionInDays: plan.logRetentionDays, tags: serviceTags(service) },
      taskRole: taskRole(service, deployment),
      executionRole: executionRole(service, deployment.plan.region, logGroupName(service), [...secrets.values()]),
      autoScalingTarget: (args: aws.appautoscaling.TargetArgs): undefined => {
        args.suspendedState = {
          dynamicScalingInSuspended: !scaling.scaleIn,
          dynamicScalingOutSuspended: !scaling.scaleOut,
        };
      },
    },
    /** Changes with a secret's value, so that tasks are started anew. */
    triggers: Object.fromEntries([...secrets].map(([variable, { version }]) => [variable, $interpolate`${version}`])),
  };
}

/**
 * Sets what EC2 and Fargate have alike: the plan's names, how tasks are replaced, alarms that roll back.
 * @param before what must be there before the service, and go after it.
 */
export function rollout(
  service: ContainerService,
  deployment: Deployment,
  args: aws.ecs.ServiceArgs,
  opts: $util.CustomResourceOptions,
  before: $util.Resource[],
): void {
  const { task, strategy } = service;
  args.name = task.physicalName;
  args.launchType = undefined;
  args.deploymentMinimumHealthyPercent = task.minimumHealthyPercent;
  args.deploymentMaximumPercent = task.maximumPercent;
  args.deploymentCircuitBreaker = { enable: task.circuitBreaker, rollback: task.circuitBreaker };
  // Without it a change of the capacity provider would replace the service.
  args.forceNewDeployment = true;
  args.availabilityZoneRebalancing = "DISABLED";
  args.enableExecuteCommand = false;
  args.enableEcsManagedTags = true;
  args.propagateTags = "SERVICE";
  args.tags = serviceTags(service);
  // Removing a deployment ends its tasks; each has its stop timeout still.
  args.forceDelete = true;
  const alarmNames = deployment.plan.alarms
    .filter(
      ({ service: name, version, metric }) =>
        name === service.name && version === service.version && ROLLBACK_METRICS.includes(metric),
    )
    .flatMap(({ physicalName }) => deployment.alarms.get(physicalName) ?? []);
  if (strategy === "BestEffortControlledRollout" && alarmNames.length > 0)
    args.alarms = { enable: true, rollback: true, alarmNames };
  const behind = deployment.loadBalancer?.targets.get(service.name);
  if (behind) {
    args.loadBalancers = [
      { targetGroupArn: behind.target.arn, containerName: service.name, containerPort: containerPort(service) },
    ];
    args.healthCheckGracePeriodSeconds = startSeconds(service);
  }
  // Scaling has its say once the service is there.
  opts.ignoreChanges = [...(opts.ignoreChanges ?? []), "desiredCount"];
  opts.dependsOn = [...before, ...(behind ? [behind.listener] : [])];
  // Calls in work end before a task stops.
  opts.customTimeouts = { delete: `${Math.ceil((service.timeout + task.stopTimeout) / 60) + 20}m` };
}

/** Sets what task definitions of EC2 and of Fargate have alike, and changes the one container. */
export function taskDefinition(
  service: ContainerService,
  args: aws.ecs.TaskDefinitionArgs,
  change: (container: ContainerDefinition) => ContainerDefinition,
): void {
  const { task } = service;
  args.family = task.physicalName;
  // A rollback goes to the revision before, which must not be gone by then.
  args.skipDestroy = true;
  args.tags = serviceTags(service);
  args.containerDefinitions = $output(args.containerDefinitions).apply((json) => {
    const containers = JSON.parse(json) as ContainerDefinition[];
    return JSON.stringify(containers.map((container) => change(hardened(container, task.stopTimeout))));
  });
}

function hardened(container: ContainerDefinition, stopTimeout: number): ContainerDefinition {
  const { linuxParameters, logConfiguration } = container;
  return {
    ...container,
    essential: true,
    // Lines of a terminal end in a carriage return.
    pseudoTerminal: false,
    portMappings: [],
    stopTimeout,
    // The image brings its own init process, tini, which wants to be the first.
    linuxParameters: { ...linuxParameters, initProcessEnabled: false, capabilities: { drop: ["ALL"] } },
    // A log that is slow to take lines must not stop a worker.
    logConfiguration: {
      ...logConfiguration,
      options: { ...logConfiguration?.options, mode: "non-blocking", "max-buffer-size": "25m" },
    } as NonNullable<ContainerDefinition["logConfiguration"]>,
  };
}

/**
 * A replica counts as started once it is ready. Rollouts that are watched ask it only after the time that they watch: no
 * other is replaced before.
 */
function healthCheck(service: ContainerService) {
  const { bakeSeconds } = service.task;
  const budget = startSeconds(service);
  const startPeriod = bakeSeconds > 0 ? 0 : Math.min(HEALTH_LIMIT, budget);
  const spread = Math.ceil((budget - startPeriod) / HEALTH_RETRIES);
  const interval = Math.min(HEALTH_LIMIT, Math.max(HEALTH_INTERVAL, spread, bakeSeconds));
  return {
    command: ["CMD", "node", "gpu-worker/health-check.ts", "/readyz"],
    startPeriod: seconds(startPeriod),
    interval: seconds(interval),
    timeout: seconds(10),
    retries: Math.min(HEALTH_RETRIES, Math.max(2, Math.ceil((budget - startPeriod) / interval))),
  };
}

function seconds(count: number): `${number} seconds` {
  return `${count} seconds`;
}

function logGroupName({ task }: ContainerService): string {
  return `/tandem/${task.physicalName}`;
}

/** Values of secrets, where ECS reads them when a task starts: they are in no task definition. By variable. */
function secretParameters(service: ContainerService, { plan, secrets }: Deployment): Map<string, aws.ssm.Parameter> {
  return new Map(
    plan.secrets.flatMap(({ name, sst, variable }) => {
      const value = secrets.get(name);
      if (!service.secrets.includes(name) || value === undefined) return [];
      const parameter = new aws.ssm.Parameter(`${logicalName(service)}${sst}`, {
        name: `/tandem/${service.task.physicalName}/${variable}`,
        type: "SecureString",
        value,
        tags: serviceTags(service),
      });
      return [[variable, parameter]];
    }),
  );
}
