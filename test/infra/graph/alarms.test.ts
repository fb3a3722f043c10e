import { beforeAll, describe, expect, it } from "vitest";
import type { AlarmPlan } from "#infra/plan/deployment-plan.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, type GraphResource, synthesize } from "../synth.ts";
import { aContainerPlan, aGpuService, anEntry, anHttpGpuService, deployContainers } from "./container-plans.ts";

const ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm";
const METRICS = ["queue-age", "dead-letters", "error-rate", "throttles", "gpu-idle", "no-replica"] as const;

function alarm(metric: AlarmPlan["metric"], service = "Painter"): AlarmPlan {
  return {
    physicalName: `gallery-test-${service.toLowerCase()}-${metric}`,
    service,
    metric,
    threshold: 5,
    period: 300,
    periods: 3,
    description: `${metric} of ${service}`,
  };
}

interface Query {
  readonly id: string;
  readonly expression?: string;
  readonly returnData: boolean;
  readonly metric?: { namespace: string; metricName: string; dimensions: object; period: number; stat: string };
}

/** What an alarm watches, as `namespace name stat of dimensions`, and the expression last. */
function watched({ inputs }: GraphResource): string[] {
  return (inputs.metricQueries as Query[]).map(({ id, metric, expression }) =>
    metric
      ? `${id}: ${metric.namespace} ${metric.metricName} ${metric.stat} of ${Object.values(metric.dimensions).join(" ")}`
      : String(expression),
  );
}

describe("alarms", () => {
  let graph: Graph;
  beforeAll(async () => {
    const alarms = [
      ...METRICS.filter((metric) => metric !== "throttles").map((metric) => alarm(metric)),
      alarm("error-rate", "Entry"),
      alarm("throttles", "Entry"),
      alarm("no-replica", "Upscaler"),
      alarm("error-rate", "Upscaler"),
    ];
    const http = anHttpGpuService({ name: "Upscaler" });
    const plan = aContainerPlan([aGpuService(), http, anEntry()], { alarms, alarmEmail: "ops@example.com" });
    graph = await synthesize(() => deployContainers(plan));
    expect(graph.error).toBeUndefined();
  });

  const of = (name: string) => watched(resourceOf(graph, ALARM, name));

  it("ring and say that it is over, at the topic; a figure that is missing is no fault", () => {
    const alarms = resourcesOf(graph, ALARM).filter(({ name }) => name !== "PainterWakeAlarm");
    expect(alarms).toHaveLength(9);
    const topic = ["arn:aws:sns:us-east-1:123456789012:gallery-test-alarms"];
    for (const { inputs } of alarms)
      expect(inputs).toMatchObject({
        alarmActions: topic,
        okActions: topic,
        treatMissingData: "notBreaching",
        evaluationPeriods: 3,
        datapointsToAlarm: 3,
        threshold: 5,
      });
  });

  it("have one result each, over the plan's period", () => {
    for (const { name, inputs } of resourcesOf(graph, ALARM)) {
      const queries = inputs.metricQueries as Query[];
      expect(queries.filter(({ returnData }) => returnData)).toHaveLength(1);
      const periods = new Set(queries.flatMap(({ metric }) => metric?.period ?? []));
      expect([...periods]).toEqual([name === "PainterWakeAlarm" ? 60 : 300]);
    }
  });

  it("queue-age: the oldest message of both lanes", () => {
    expect(of("PainterQueueAgeAlarm")).toEqual([
      "age1: AWS/SQS ApproximateAgeOfOldestMessage Maximum of gallery-test-painter",
      "age2: AWS/SQS ApproximateAgeOfOldestMessage Maximum of gallery-test-painter-priority",
      "MAX([age1, age2])",
    ]);
    expect(resourceOf(graph, ALARM, "PainterQueueAgeAlarm").inputs.comparisonOperator).toBe("GreaterThanThreshold");
  });

  it("dead-letters: those that lie there and those that were answered; moved ones are not counted as sent", () => {
    expect(of("PainterDeadLettersAlarm")).toEqual([
      "waiting1: AWS/SQS ApproximateNumberOfMessagesVisible Maximum of gallery-test-painter-dead",
      "received1: AWS/SQS NumberOfMessagesReceived Sum of gallery-test-painter-dead",
      "SUM([waiting1, received1])",
    ]);
  });

  it("error-rate of a worker: what it gave back of all messages", () => {
    expect(of("PainterErrorRateAlarm")).toEqual([
      "failed1: Tandem Deliveries.redelivered Sum of Painter",
      "failed2: Tandem Deliveries.dead Sum of Painter",
      "all1: Tandem Deliveries.run Sum of Painter",
      "all2: Tandem Deliveries.failed Sum of Painter",
      "all3: Tandem Deliveries.redelivered Sum of Painter",
      "all4: Tandem Deliveries.dead Sum of Painter",
      "100 * FILL(SUM([failed1,failed2]), 0) / SUM([all1,all2,all3,all4])",
    ]);
  });

  it("error-rate behind the load balancer: its targets' 5xx", () => {
    expect(of("UpscalerErrorRateAlarm").map((line) => line.split(" ")[2])).toEqual([
      "HTTPCode_Target_5XX_Count",
      "RequestCount",
      "FILL(SUM([failed1]),",
    ]);
  });

  it("error-rate of the entry: its URL's answers with 5xx", () => {
    expect(of("EntryErrorRateAlarm").slice(0, 2)).toEqual([
      "failed1: AWS/Lambda Url5xxCount Sum of gallery-test-entry",
      "all1: AWS/Lambda UrlRequestCount Sum of gallery-test-entry",
    ]);
  });

  it("throttles: of the function and of the one that runs its queue", () => {
    expect(of("EntryThrottlesAlarm")).toEqual([
      "throttles1: AWS/Lambda Throttles Sum of gallery-test-entry",
      "throttles2: AWS/Lambda Throttles Sum of gallery-test-entry-queue",
      "SUM([throttles1,throttles2])",
    ]);
  });

  it("gpu-idle: what workers tell of their GPUs, fallen below", () => {
    expect(of("PainterGpuIdleAlarm")[0]).toBe("utilization: Tandem GpuUtilization Average of Painter");
    expect(resourceOf(graph, ALARM, "PainterGpuIdleAlarm").inputs.comparisonOperator).toBe("LessThanThreshold");
  });

  it("no-replica: none runs while messages wait; behind the load balancer, none runs", () => {
    expect(of("PainterNoReplicaAlarm").at(-1)).toBe("IF(SUM([waiting1, waiting2]) > 0, FILL(running, 0), 1)");
    expect(of("PainterNoReplicaAlarm")[0]).toBe(
      "running: ECS/ContainerInsights RunningTaskCount Average of gallery-test-painter gallery-test-painter",
    );
    expect(of("UpscalerNoReplicaAlarm").at(-1)).toBe("FILL(running, 0)");
    expect(resourceOf(graph, ALARM, "PainterNoReplicaAlarm").inputs.comparisonOperator).toBe("LessThanThreshold");
  });

  it("go by mail to whom the plan names", () => {
    expect(resourceOf(graph, "aws:sns/topicSubscription:TopicSubscription").inputs).toMatchObject({
      protocol: "email",
      endpoint: "ops@example.com",
    });
  });
});

describe("the topic", () => {
  it("is encrypted with a key that CloudWatch may use, for this account's alarms", async () => {
    const graph = await synthesize(() => deployContainers(aContainerPlan([aGpuService()])));
    expect(resourceOf(graph, "aws:sns/topic:Topic").inputs.kmsMasterKeyId).toBe("<id of AlarmKey>");
    const key = resourceOf(graph, "aws:kms/key:Key").inputs;
    expect(key.enableKeyRotation).toBe(true);
    const ofKey = JSON.parse(String(key.policy)).Statement[1];
    expect(ofKey).toMatchObject({
      Action: ["kms:Decrypt", "kms:GenerateDataKey*"],
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Condition: { StringEquals: { "aws:SourceAccount": "123456789012" } },
    });
    const [ofTopic] = JSON.parse(String(resourceOf(graph, "aws:sns/topicPolicy:TopicPolicy").inputs.policy)).Statement;
    expect(ofTopic).toMatchObject({ Action: "sns:Publish", Principal: { Service: "cloudwatch.amazonaws.com" } });
    expect(resourcesOf(graph, "aws:sns/topicSubscription:TopicSubscription")).toEqual([]);
  });
});
