/// <reference path="../../.sst/platform/config.d.ts" />
import type { TaskPlan } from "../plan/deployment-plan.ts";

/** One figure of CloudWatch, or an expression over those with other ids. */
export interface Metric {
  readonly id: string;
  readonly label?: string;
  readonly expression?: string;
  readonly metric?: {
    readonly namespace: string;
    readonly name: string;
    readonly dimensions: Readonly<Record<string, $util.Input<string>>>;
    readonly stat: "Average" | "Maximum" | "Minimum" | "Sum" | "p50" | "p95";
  };
}

type Stat = NonNullable<Metric["metric"]>["stat"];

/** A figure of SQS, for each of some queues: `<id>1`, `<id>2`. */
export function laneMetrics(id: string, queues: readonly string[], name: string, stat: Stat): Metric[] {
  return queues.map((queue, index) => ({
    id: `${id}${index + 1}`,
    metric: { namespace: "AWS/SQS", name, dimensions: { QueueName: queue }, stat },
  }));
}

/** How many tasks of a service run, as Container Insights counts them. Its cluster has the service's name. */
export function runningTasks({ physicalName }: TaskPlan): Metric {
  return {
    id: "running",
    metric: {
      namespace: "ECS/ContainerInsights",
      name: "RunningTaskCount",
      dimensions: { ClusterName: physicalName, ServiceName: physicalName },
      stat: "Average",
    },
  };
}

/** The figures as an alarm takes them; the expression among them is what it watches. */
export function metricQueries(
  metrics: readonly Metric[],
  period: number,
): aws.types.input.cloudwatch.MetricAlarmMetricQuery[] {
  return metrics.map(({ id, label, expression, metric }) => ({
    id,
    label,
    expression,
    returnData: expression !== undefined,
    ...(metric && {
      metric: {
        namespace: metric.namespace,
        metricName: metric.name,
        dimensions: { ...metric.dimensions },
        stat: metric.stat,
        period,
      },
    }),
  }));
}
