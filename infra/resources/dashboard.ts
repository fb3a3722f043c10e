/// <reference path="../../.sst/platform/config.d.ts" />
import type {
  CanaryPlan,
  DeploymentPlan,
  FunctionPlan,
  GpuFunctionPlan,
  LambdaPlan,
  QueuePlan,
  ServicePlan,
} from "../plan/deployment-plan.ts";
import { functionsOf } from "../plan/functions-of.ts";
import { namer } from "../plan/names.ts";
import { costText } from "./cost-text.ts";

const WIDTH = 24;
const HEIGHT = 6;

/** A figure as a dashboard names it: namespace, name, then dimension after dimension, and how it is drawn. */
type Row = readonly (string | { readonly [option: string]: unknown })[];

interface Widget {
  readonly title: string;
  readonly metrics: readonly Row[];
  /** Of the left axis. */
  readonly unit: string;
  readonly stat?: string;
}

/**
 * The dashboard of a deployment: what it costs, then a row a service with its queue, latency, errors, replicas and GPUs, and
 * what canary versions get.
 * Three dashboards of an account are free. None in `sst dev`.
 */
export function createDashboard(plan: DeploymentPlan): void {
  if ($dev) return;
  const name = namer(plan.name, plan.stage);
  const { region } = plan;
  const rows = [
    ...plan.services.map((service) => ({
      heading: `${service.name}: ${service.instanceType}`,
      widgets: widgetsOf(service, plan),
    })),
    ...(plan.canary ? [{ heading: "Versions", widgets: [versionsWidget(plan.canary, plan.entry.service)] }] : []),
  ];
  let y = 0;
  const place = (height: number) => {
    const at = y;
    y += height;
    return at;
  };
  const text = (markdown: string, height: number) => ({
    type: "text",
    x: 0,
    y: place(height),
    width: WIDTH,
    height,
    properties: { markdown },
  });
  const widgets = [
    text(costText(plan), 4),
    ...rows.flatMap(({ heading: title, widgets }) => {
      const heading = text(`## ${title}`, 1);
      const top = place(HEIGHT);
      const width = Math.floor(WIDTH / widgets.length);
      return [
        heading,
        ...widgets.map(({ title, metrics, unit, stat = "Sum" }, index) => ({
          type: "metric",
          x: index * width,
          y: top,
          width,
          height: HEIGHT,
          properties: {
            title,
            region,
            view: "timeSeries",
            period: 60,
            stat,
            metrics,
            yAxis: { left: { label: unit, showUnits: false, min: 0 } },
          },
        })),
      ];
    }),
  ];
  new aws.cloudwatch.Dashboard("Dashboard", {
    dashboardName: name("alarm"),
    dashboardBody: $jsonStringify({ start: "-PT3H", widgets }),
  });
}

function widgetsOf(service: ServicePlan, plan: DeploymentPlan): Widget[] {
  return [
    ...(service.queue ? [queueWidget(service.queue)] : []),
    {
      title: "Latency",
      unit: "ms",
      metrics: [search(service, "Latency", "p50"), search(service, "Latency", "p95")],
    },
    errorsWidget(service, plan),
    ...replicasWidgets(service),
  ];
}

/** Calls' own figures have the api among their dimensions: all apis of the service. */
function search(service: ServicePlan, metric: string, stat: string): Row {
  const expression = `SEARCH('{Tandem,Service,Api} Service="${service.name}" MetricName="${metric}"', '${stat}')`;
  return [{ expression, label: `\${PROP('Dim.Api')} ${stat}`, id: `${metric.toLowerCase()}_${stat}` }];
}

function queueWidget({ physicalName, priorityPhysicalName, deadLetterPhysicalName }: QueuePlan): Widget {
  const sqs = (name: string, queue: string, label: string): Row => ["AWS/SQS", name, "QueueName", queue, { label }];
  return {
    title: "Queue",
    unit: "messages",
    stat: "Maximum",
    metrics: [
      sqs("ApproximateNumberOfMessagesVisible", physicalName, "waiting"),
      sqs("ApproximateNumberOfMessagesVisible", priorityPhysicalName, "waiting, priority"),
      sqs("ApproximateNumberOfMessagesNotVisible", physicalName, "in work"),
      sqs("ApproximateNumberOfMessagesNotVisible", priorityPhysicalName, "in work, priority"),
      sqs("ApproximateNumberOfMessagesVisible", deadLetterPhysicalName, "dead letters"),
      [
        ...sqs("ApproximateAgeOfOldestMessage", physicalName, "age of the oldest, s").slice(0, -1),
        { label: "age of the oldest, s", yAxis: "right" },
      ],
    ],
  };
}

function errorsWidget(service: ServicePlan, { entry }: DeploymentPlan): Widget {
  const errors = search(service, "Errors", "Sum");
  if (service.kind !== "function" && service.kind !== "gpu-function")
    return { title: "Calls and errors", unit: "calls", metrics: [search(service, "Requests", "Sum"), errors] };
  const { physicalName } = functionOf(service);
  const lambda = (name: string, label: string): Row => ["AWS/Lambda", name, "FunctionName", physicalName, { label }];
  return {
    title: "Calls and errors",
    unit: "calls",
    metrics: [
      lambda("Invocations", "invocations"),
      lambda("Errors", "errors"),
      lambda("Throttles", "throttled"),
      ...(entry.service === service.name ? [lambda("Url5xxCount", "answers with 5xx")] : []),
      errors,
    ],
  };
}

/** What became of the calls that the entry handed over. */
function versionsWidget({ versions }: CanaryPlan, service: string): Widget {
  return {
    title: "Calls handed over",
    unit: "calls",
    metrics: versions.flatMap(({ label }) =>
      ["Answered", "Failed", "Unreachable"].map(
        (outcome): Row => [
          "Tandem",
          `Versions.${label}.${outcome}`,
          "Service",
          service,
          { label: `${label}: ${outcome.toLowerCase()}` },
        ],
      ),
    ),
  };
}

/** The function that does most of a service's work. */
function functionOf(service: FunctionPlan | GpuFunctionPlan): Pick<LambdaPlan, "physicalName" | "memory"> {
  return service.kind === "function" ? functionsOf(service)[0]! : service.function;
}

/** How many replicas there are, and what runs up the bill: instances and their use, or a function's time. */
function replicasWidgets(service: ServicePlan): Widget[] {
  switch (service.kind) {
    case "gpu-function": {
      const { physicalName } = service.function;
      // What is paid for are instances, which are Lambda's: they have no figures of ours.
      return [
        {
          title: "Calls at once",
          unit: "calls",
          stat: "Maximum",
          metrics: [["AWS/Lambda", "ConcurrentExecutions", "FunctionName", physicalName, { label: "at once" }]],
        },
      ];
    }
    case "function": {
      const { physicalName, memory } = functionOf(service);
      const row = (name: string, options: object): Row => [
        "AWS/Lambda",
        name,
        "FunctionName",
        physicalName,
        { ...options },
      ];
      return [
        {
          title: "Environments and GB-seconds",
          unit: "environments",
          metrics: [
            row("ConcurrentExecutions", { stat: "Maximum", label: "at once" }),
            row("Duration", { id: "duration", visible: false }),
            [
              {
                expression: `duration / 1000 * ${memory / 1024}`,
                label: "GB-seconds",
                id: "gb_seconds",
                yAxis: "right",
              },
            ],
          ],
        },
      ];
    }
    case "gpu":
    case "container": {
      const task = (name: string, label: string): Row => [
        "ECS/ContainerInsights",
        name,
        "ClusterName",
        service.task.physicalName,
        "ServiceName",
        service.task.physicalName,
        { label },
      ];
      const group = (name: string, label: string): Row => [
        "AWS/AutoScaling",
        name,
        "AutoScalingGroupName",
        service.kind === "gpu" ? service.capacity.physicalName : "",
        { label },
      ];
      const replicas: Widget = {
        title: service.kind === "gpu" ? "Replicas and instances" : "Replicas",
        unit: "replicas",
        stat: "Average",
        metrics: [
          task("DesiredTaskCount", "wanted"),
          task("RunningTaskCount", "running"),
          ...(service.kind === "gpu" ? [group("GroupInServiceInstances", "instances, paid for")] : []),
        ],
      };
      if (service.kind === "container") return [replicas];
      const gpu = (name: string, options: object): Row => ["Tandem", name, "Service", service.name, { ...options }];
      return [
        replicas,
        {
          title: "GPU",
          unit: "%",
          stat: "Average",
          metrics: [
            gpu("GpuUtilization", { label: "in use" }),
            gpu("GpuMemoryUsed", { label: "memory, bytes", yAxis: "right" }),
          ],
        },
      ];
    }
  }
}
