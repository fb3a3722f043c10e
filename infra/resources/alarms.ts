/// <reference path="../../.sst/platform/config.d.ts" />
import type { AlarmPlan, DeploymentPlan, ServicePlan } from "../plan/deployment-plan.ts";
import { functionsOf } from "../plan/functions-of.ts";
import { logicalName } from "../plan/names.ts";
import type { DeployedLoadBalancer } from "./deployed.ts";
import { laneMetrics, type Metric, metricQueries, runningTasks } from "./metrics.ts";
import { serviceTags } from "./service-tags.ts";

/**
 * The plan's alarms, but for those that take calls off canary versions. All that they watch is known by the plan's names, so they are there before the
 * services, whose rollouts go by them. None in `sst dev`: its faults are seen on the desk.
 * @param topic the ARN of the topic that they go to; undefined in `sst dev`.
 * @returns by the plan's name of it: the alarm's name, once it is there.
 */
export function createAlarms(
  plan: DeploymentPlan,
  loadBalancer: DeployedLoadBalancer | undefined,
  topic: $util.Input<string> | undefined,
): Map<string, $util.Output<string>> {
  if (topic === undefined) return new Map();
  return new Map(
    plan.alarms.flatMap((alarm) => {
      const version = plan.canary?.versions.find(({ label }) => label === alarm.version);
      const service = (version ?? plan).services.find(({ name }) => name === alarm.service);
      const metrics = service && watched(alarm, service, plan, loadBalancer);
      if (!metrics) return [];
      const below = alarm.metric === "gpu-idle" || alarm.metric === "no-replica";
      const made = new aws.cloudwatch.MetricAlarm(`${logicalName(service)}${logical(alarm.metric)}Alarm`, {
        name: alarm.physicalName,
        alarmDescription: alarm.description,
        comparisonOperator: below ? "LessThanThreshold" : "GreaterThanThreshold",
        threshold: alarm.threshold,
        evaluationPeriods: alarm.periods,
        datapointsToAlarm: alarm.periods,
        treatMissingData: "notBreaching",
        metricQueries: metricQueries(metrics, alarm.period),
        alarmActions: [topic],
        okActions: [topic],
        tags: serviceTags(service),
      });
      return [[alarm.physicalName, made.name]];
    }),
  );
}

/** What an alarm watches; undefined where nothing tells of it. */
function watched(
  { metric }: AlarmPlan,
  service: ServicePlan,
  plan: DeploymentPlan,
  loadBalancer: DeployedLoadBalancer | undefined,
): Metric[] | undefined {
  const { queue } = service;
  switch (metric) {
    case "queue-age":
      return (
        queue && [
          ...laneMetrics("age", lanes(queue), "ApproximateAgeOfOldestMessage", "Maximum"),
          { id: "oldest", label: "Age of the oldest message, in seconds", expression: "MAX([age1, age2])" },
        ]
      );
    case "dead-letters":
      // Messages that SQS moves are not counted as sent; the function that answers them receives them.
      return (
        queue && [
          ...laneMetrics("waiting", [queue.deadLetterPhysicalName], "ApproximateNumberOfMessagesVisible", "Maximum"),
          ...laneMetrics("received", [queue.deadLetterPhysicalName], "NumberOfMessagesReceived", "Sum"),
          { id: "given_up", label: "Messages given up", expression: "SUM([waiting1, received1])" },
        ]
      );
    case "error-rate":
      return errorRate(service, plan, loadBalancer);
    case "throttles":
      return functionMetrics(service, "Throttles", "throttles", "Throttled invocations");
    case "gpu-idle":
      return [
        {
          id: "utilization",
          metric: {
            namespace: "Tandem",
            name: "GpuUtilization",
            dimensions: ownFigures(service),
            stat: "Average",
          },
        },
        { id: "used", label: "GPU utilization, in percent", expression: "utilization * 1" },
      ];
    case "no-replica":
      return noReplica(service);
    case "version-errors":
      return undefined;
  }
}

/** Percent of what failed by the service's fault. */
function errorRate(
  service: ServicePlan,
  { entry }: DeploymentPlan,
  loadBalancer: DeployedLoadBalancer | undefined,
): Metric[] | undefined {
  if (service.kind === "function" || service.kind === "gpu-function") {
    // A URL's answers with 5xx are no errors of Lambda's.
    const [failed, all] =
      entry.service === service.name && service.version === undefined
        ? ["Url5xxCount", "UrlRequestCount"]
        : ["Errors", "Invocations"];
    const { physicalName } = service.kind === "function" ? functionsOf(service)[0]! : service.function;
    const of = { namespace: "AWS/Lambda", dimensions: { FunctionName: physicalName } };
    return percent([{ ...of, name: failed }], [{ ...of, name: all }]);
  }
  const behind = loadBalancer?.targets.get(service.name);
  if (behind && !service.queue) {
    const of = {
      namespace: "AWS/ApplicationELB",
      dimensions: { LoadBalancer: loadBalancer!.balancer.arnSuffix, TargetGroup: behind.target.arnSuffix },
    };
    return percent([{ ...of, name: "HTTPCode_Target_5XX_Count" }], [{ ...of, name: "RequestCount" }]);
  }
  // What workers gave back; a call that failed by its caller's fault has an answer.
  const deliveries = (outcome: string) => ({
    namespace: "Tandem",
    name: `Deliveries.${outcome}`,
    dimensions: ownFigures(service),
  });
  return percent(["redelivered", "dead"].map(deliveries), ["run", "failed", "redelivered", "dead"].map(deliveries));
}

/** What tells the figures of a service's processes from others'. */
function ownFigures({ name, version }: ServicePlan): Record<string, string> {
  return { Service: name, ...(version !== undefined && { Version: version }) };
}

type Counted = Omit<NonNullable<Metric["metric"]>, "stat">;

/** Percent of the sum of some counts that the sum of others is. Counts without a value are 0. */
function percent(failed: readonly Counted[], all: readonly Counted[]): Metric[] {
  const counts = (id: string, metrics: readonly Counted[]): Metric[] =>
    metrics.map((metric, index) => ({ id: `${id}${index + 1}`, metric: { ...metric, stat: "Sum" } }));
  const sum = (id: string, metrics: readonly Counted[]) => `SUM([${metrics.map((_, index) => `${id}${index + 1}`)}])`;
  return [
    ...counts("failed", failed),
    ...counts("all", all),
    {
      id: "rate",
      label: "Percent that failed",
      expression: `100 * FILL(${sum("failed", failed)}, 0) / ${sum("all", all)}`,
    },
  ];
}

/** A count of Lambda's, of all functions of a service. */
function functionMetrics(service: ServicePlan, name: string, id: string, label: string): Metric[] | undefined {
  if (service.kind !== "function") return undefined;
  const functions = functionsOf(service);
  return [
    ...functions.map(
      ({ physicalName }, index): Metric => ({
        id: `${id}${index + 1}`,
        metric: { namespace: "AWS/Lambda", name, dimensions: { FunctionName: physicalName }, stat: "Sum" },
      }),
    ),
    { id: "sum", label, expression: `SUM([${functions.map((_, index) => `${id}${index + 1}`)}])` },
  ];
}

/** How many replicas run while calls wait; one where none does. */
function noReplica(service: ServicePlan): Metric[] | undefined {
  if (service.kind !== "gpu" && service.kind !== "container") return undefined;
  const running = runningTasks(service.task);
  const { queue } = service;
  const label = "Replicas that run, while there is work";
  if (!queue) return [running, { id: "replicas", label, expression: "FILL(running, 0)" }];
  return [
    running,
    ...laneMetrics("waiting", lanes(queue), "ApproximateNumberOfMessagesVisible", "Maximum"),
    { id: "replicas", label, expression: "IF(SUM([waiting1, waiting2]) > 0, FILL(running, 0), 1)" },
  ];
}

function lanes({ physicalName, priorityPhysicalName }: { physicalName: string; priorityPhysicalName: string }) {
  return [physicalName, priorityPhysicalName];
}

function logical(metric: string): string {
  return metric.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
}
