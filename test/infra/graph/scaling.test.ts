import { beforeAll, describe, expect, it } from "vitest";
import type { GpuContainerPlan, ScalingPlan } from "#infra/plan/deployment-plan.ts";
import { resourceOf, resourcesOf } from "../graph.ts";
import { type Graph, synthesize } from "../synth.ts";
import { aContainerPlan, aGpuService, anHttpGpuService, deployContainers } from "./container-plans.ts";

const POLICY = "aws:appautoscaling/policy:Policy";
const TARGET = "aws:appautoscaling/target:Target";
const ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm";

async function graphOf(service: GpuContainerPlan): Promise<Graph> {
  const graph = await synthesize(() => deployContainers(aContainerPlan([service])));
  expect(graph.error).toBeUndefined();
  return graph;
}

function withScaling(changes: Partial<ScalingPlan>): GpuContainerPlan {
  const service = aGpuService();
  return { ...service, scaling: { ...service.scaling, ...changes } };
}

interface Tracking {
  readonly targetValue: number;
  readonly scaleInCooldown: number;
  readonly scaleOutCooldown: number;
  readonly disableScaleIn: boolean;
  readonly customizedMetricSpecification: { readonly metrics: readonly Query[] };
}

interface Query {
  readonly id: string;
  readonly expression?: string;
  readonly returnData: boolean;
  readonly metricStat?: { readonly metric: { readonly metricName: string; readonly dimensions: readonly object[] } };
}

function trackingOf(graph: Graph): Tracking {
  return resourceOf(graph, POLICY, "PainterPerReplica").inputs.targetTrackingScalingPolicyConfiguration as Tracking;
}

describe("a service with a queue", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await graphOf(aGpuService());
  });

  it("scales between the plan's least and most replicas", () => {
    expect(resourceOf(graph, TARGET).inputs).toMatchObject({
      resourceId: "service/gallery-test-painter/gallery-test-painter",
      minCapacity: 0,
      maxCapacity: 4,
      suspendedState: { dynamicScalingInSuspended: false, dynamicScalingOutSuspended: false },
    });
  });

  it("aims at so many calls, waiting or in work in both lanes, for each running replica", () => {
    const { customizedMetricSpecification, ...rest } = trackingOf(graph);
    expect(rest).toEqual({ targetValue: 2, scaleInCooldown: 600, scaleOutCooldown: 0, disableScaleIn: false });
    const { metrics } = customizedMetricSpecification;
    expect(metrics.map(({ id, metricStat }) => [id, metricStat?.metric.metricName])).toEqual([
      ["waiting1", "ApproximateNumberOfMessagesVisible"],
      ["waiting2", "ApproximateNumberOfMessagesVisible"],
      ["working1", "ApproximateNumberOfMessagesNotVisible"],
      ["working2", "ApproximateNumberOfMessagesNotVisible"],
      ["running", "RunningTaskCount"],
      ["per_replica", undefined],
    ]);
    expect(metrics[1]?.metricStat?.metric.dimensions).toEqual([
      { name: "QueueName", value: "gallery-test-painter-priority" },
    ]);
    expect(metrics.at(-1)?.expression).toBe(
      "SUM([waiting1, waiting2, working1, working2]) / IF(running < 1, 1, running)",
    );
    // Application Auto Scaling takes one result.
    expect(metrics.filter(({ returnData }) => returnData).map(({ id }) => id)).toEqual(["per_replica"]);
  });

  it("starts its first replica when a message waits that nobody takes", () => {
    const policy = resourceOf(graph, POLICY, "PainterWake").inputs;
    expect(policy.stepScalingPolicyConfiguration).toMatchObject({
      adjustmentType: "ChangeInCapacity",
      stepAdjustments: [{ metricIntervalLowerBound: "0", scalingAdjustment: 1 }],
    });
    const alarm = resourceOf(graph, ALARM, "PainterWakeAlarm").inputs;
    expect(alarm).toMatchObject({ threshold: 0, evaluationPeriods: 1, treatMissingData: "notBreaching" });
    expect(alarm.alarmActions).toEqual([expect.stringContaining(":policyName/gallery-test-painter-wake")]);
    const queries = alarm.metricQueries as (Query & { metric?: { period: number } })[];
    expect(queries.at(-1)?.expression).toBe(
      "IF(FILL(SUM([working1, working2, received1, received2]), 0) + FILL(running, 0) < 1, SUM([waiting1, waiting2]), 0)",
    );
    expect(queries.slice(0, -1).every(({ metric }) => metric?.period === 60)).toBe(true);
  });

  it("adds no second one before the first has had time to start", () => {
    const { stepScalingPolicyConfiguration } = resourceOf(graph, POLICY, "PainterWake").inputs;
    expect((stepScalingPolicyConfiguration as { cooldown: number }).cooldown).toBe(219 + 60);
  });
});

it("a service that always has a replica needs no waking", async () => {
  const graph = await graphOf(withScaling({ minReplicas: 1 }));
  expect(resourcesOf(graph, POLICY).map(({ name }) => name)).toEqual(["PainterPerReplica"]);
  expect(resourcesOf(graph, ALARM)).toEqual([]);
});

it("a service with as many replicas as it may have does not scale", async () => {
  const graph = await graphOf(withScaling({ minReplicas: 2, maxReplicas: 2 }));
  expect(resourcesOf(graph, POLICY)).toEqual([]);
  expect(resourceOf(graph, TARGET).inputs).toMatchObject({ minCapacity: 2, maxCapacity: 2 });
});

it("a direction that is disabled is suspended", async () => {
  const graph = await graphOf(withScaling({ scaleIn: false, scaleOut: false, minReplicas: 1 }));
  expect(resourceOf(graph, TARGET).inputs.suspendedState).toMatchObject({
    dynamicScalingInSuspended: true,
    dynamicScalingOutSuspended: true,
  });
  expect(trackingOf(graph).disableScaleIn).toBe(true);
});

it("a service behind the load balancer scales by calls in work: calls a second times seconds a call", async () => {
  const graph = await graphOf(anHttpGpuService());
  const { metrics } = trackingOf(graph).customizedMetricSpecification;
  expect(metrics.map(({ id, metricStat }) => [id, metricStat?.metric.metricName])).toEqual([
    ["calls", "RequestCount"],
    ["seconds", "TargetResponseTime"],
    ["running", "RunningTaskCount"],
    ["per_replica", undefined],
  ]);
  expect(metrics.at(-1)?.expression).toBe("calls * seconds / 60 / IF(running < 1, 1, running)");
  expect(metrics[0]?.metricStat?.metric.dimensions).toEqual([
    { name: "LoadBalancer", value: "app/gallery-test-internal/0123456789abcdef" },
    { name: "TargetGroup", value: expect.stringMatching(/^targetgroup\//) },
  ]);
});

it("a change of the most replicas changes the target and the group's size, and nothing else", async () => {
  const service = aGpuService();
  const more = {
    ...service,
    scaling: { ...service.scaling, maxReplicas: 6 },
    capacity: { ...service.capacity, maxInstances: 6 },
  };
  const [before, after] = [await graphOf(service), await graphOf(more)];
  const changed = after.resources.filter(({ urn, inputs }) => {
    const old = before.resources.find((resource) => resource.urn === urn);
    return JSON.stringify(old?.inputs) !== JSON.stringify(inputs);
  });
  expect(changed.map(({ name }) => name).sort()).toEqual([
    "PainterAutoScalingTarget",
    "PainterCapacity",
    "PainterGroup",
  ]);
  expect(after.resources).toHaveLength(before.resources.length);
});
