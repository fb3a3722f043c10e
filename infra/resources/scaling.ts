/// <reference path="../../.sst/platform/config.d.ts" />
import { logicalName, nameParts, namer } from "../plan/names.ts";
import type { DeployedTarget, Deployment } from "./deployed.ts";
import { laneMetrics, type Metric, metricQueries, runningTasks } from "./metrics.ts";
import { serviceTags } from "./service-tags.ts";
import { type ContainerService, startSeconds } from "./task.ts";

/** CloudWatch's metrics of SQS and of Container Insights: one value a minute. */
const PERIOD = 60;

/**
 * Scales a service between the plan's least and most replicas, by calls waiting or in work for each running one; from zero
 * by the first message that nobody takes. Where both are the same nothing scales.
 */
export function createScaling(
  service: ContainerService,
  deployment: Deployment,
  target: aws.appautoscaling.Target,
): void {
  const { minReplicas, maxReplicas } = service.scaling;
  if (minReplicas === maxReplicas) return;
  const behind = deployment.loadBalancer?.targets.get(service.name);
  const metrics = service.queue ? backlog(service) : behind && concurrency(service, deployment, behind);
  if (metrics) trackPerReplica(service, deployment, target, metrics);
  if (minReplicas === 0 && service.queue) wake(service, deployment, target);
}

/** Messages that wait or are in work, in both lanes, for each running replica. */
function backlog(service: ContainerService): Metric[] {
  const { physicalName, priorityPhysicalName } = service.queue!;
  return [
    ...laneMetrics("waiting", [physicalName, priorityPhysicalName], "ApproximateNumberOfMessagesVisible", "Maximum"),
    ...laneMetrics("working", [physicalName, priorityPhysicalName], "ApproximateNumberOfMessagesNotVisible", "Maximum"),
    runningTasks(service.task),
    {
      id: "per_replica",
      label: "Calls waiting or in work for each replica",
      // A lane that nobody has used for six hours has no figures: SUM leaves it out.
      expression: "SUM([waiting1, waiting2, working1, working2]) / IF(running < 1, 1, running)",
    },
  ];
}

/**
 * Calls in work for each running replica, by Little's law: calls a second times seconds a call. The load balancer counts
 * no calls in work, and calls a minute alone say nothing of how long they take.
 */
function concurrency(service: ContainerService, deployment: Deployment, { target }: DeployedTarget): Metric[] {
  const dimensions = {
    LoadBalancer: deployment.loadBalancer!.balancer.arnSuffix,
    TargetGroup: target.arnSuffix,
  };
  const of = { namespace: "AWS/ApplicationELB", dimensions };
  return [
    { id: "calls", metric: { ...of, name: "RequestCount", stat: "Sum" } },
    { id: "seconds", metric: { ...of, name: "TargetResponseTime", stat: "Average" } },
    runningTasks(service.task),
    {
      id: "per_replica",
      label: "Calls in work for each replica",
      expression: `calls * seconds / ${PERIOD} / IF(running < 1, 1, running)`,
    },
  ];
}

function trackPerReplica(
  service: ContainerService,
  { plan }: Deployment,
  target: aws.appautoscaling.Target,
  metrics: readonly Metric[],
): void {
  const { targetPerReplica, scaleOutCooldown, scaleInCooldown, scaleIn } = service.scaling;
  new aws.appautoscaling.Policy(`${logicalName(service)}PerReplica`, {
    name: namer(plan.name, plan.stage)("ecs", ...nameParts(service), "per-replica"),
    policyType: "TargetTrackingScaling",
    ...scalableDimension(target),
    targetTrackingScalingPolicyConfiguration: {
      targetValue: targetPerReplica,
      scaleOutCooldown,
      scaleInCooldown,
      disableScaleIn: !scaleIn,
      customizedMetricSpecification: {
        metrics: metrics.map(({ id, label, expression, metric }) => ({
          id,
          label,
          expression,
          returnData: expression !== undefined,
          ...(metric && {
            metricStat: {
              stat: metric.stat,
              metric: {
                namespace: metric.namespace,
                metricName: metric.name,
                dimensions: Object.entries(metric.dimensions).map(([name, value]) => ({ name, value })),
              },
            },
          }),
        })),
      },
    },
  });
}

/**
 * From zero to one replica when a message waits that nobody takes: none in work, none received, no replica running. The
 * count of replicas comes by another way than the queue's figures, and stops when there are none: it may say no, and is
 * not needed to say yes. Until the replica has had time to start, no other is added.
 */
function wake(service: ContainerService, { plan }: Deployment, target: aws.appautoscaling.Target): void {
  const name = namer(plan.name, plan.stage);
  const lanes = [service.queue!.physicalName, service.queue!.priorityPhysicalName];
  const cooldown = service.kind === "gpu" ? Math.ceil(service.startEstimate.total) + PERIOD : startSeconds(service);
  const policy = new aws.appautoscaling.Policy(`${logicalName(service)}Wake`, {
    name: name("ecs", ...nameParts(service), "wake"),
    policyType: "StepScaling",
    ...scalableDimension(target),
    stepScalingPolicyConfiguration: {
      adjustmentType: "ChangeInCapacity",
      metricAggregationType: "Maximum",
      cooldown,
      stepAdjustments: [{ metricIntervalLowerBound: "0", scalingAdjustment: 1 }],
    },
  });
  const metrics: Metric[] = [
    ...laneMetrics("waiting", lanes, "ApproximateNumberOfMessagesVisible", "Maximum"),
    ...laneMetrics("working", lanes, "ApproximateNumberOfMessagesNotVisible", "Maximum"),
    ...laneMetrics("received", lanes, "NumberOfMessagesReceived", "Sum"),
    runningTasks(service.task),
    {
      id: "unserved",
      label: "Messages that wait while there is no replica",
      expression:
        "IF(FILL(SUM([working1, working2, received1, received2]), 0) + FILL(running, 0) < 1, SUM([waiting1, waiting2]), 0)",
    },
  ];
  new aws.cloudwatch.MetricAlarm(`${logicalName(service)}WakeAlarm`, {
    name: name("alarm", ...nameParts(service), "wake"),
    alarmDescription: `Calls of ${service.name} wait and it has no replica: starts the first. No fault.`,
    comparisonOperator: "GreaterThanThreshold",
    threshold: 0,
    evaluationPeriods: 1,
    treatMissingData: "notBreaching",
    metricQueries: metricQueries(metrics, PERIOD),
    alarmActions: [policy.arn],
    tags: serviceTags(service),
  });
}

function scalableDimension({ resourceId, scalableDimension, serviceNamespace }: aws.appautoscaling.Target) {
  return { resourceId, scalableDimension, serviceNamespace };
}
