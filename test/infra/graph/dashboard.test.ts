import { beforeAll, expect, it } from "vitest";
import { resourceOf } from "../graph.ts";
import { synthesize } from "../synth.ts";
import { aContainerPlan, aContainerService, aGpuService, anEntry, deployContainers } from "./container-plans.ts";

interface Widget {
  readonly type: "text" | "metric";
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly properties: { markdown?: string; title?: string; region?: string; metrics?: unknown[][] };
}

let name: unknown;
let widgets: Widget[];
beforeAll(async () => {
  const plan = aContainerPlan([aGpuService(), aContainerService(), anEntry()]);
  const cost = {
    ...plan.cost,
    monthlyAtMin: 12.5,
    monthlyAtMax: 2400,
    basis: "us-east-1, 2026-11",
    perThousandPictures: 3.4,
    secondsPerPicture: 15,
  };
  const graph = await synthesize(() => deployContainers({ ...plan, cost }));
  expect(graph.error).toBeUndefined();
  const { inputs } = resourceOf(graph, "aws:cloudwatch/dashboard:Dashboard");
  name = inputs.dashboardName;
  ({ widgets } = JSON.parse(String(inputs.dashboardBody)));
});

it("is the deployment's and the stage's", () => {
  expect(name).toBe("gallery-test");
});

it("begins with what the deployment costs", () => {
  expect(widgets[0]?.properties.markdown).toBe(
    [
      "# gallery, stage test",
      "A month, calls not counted: $12.50 with the least replicas, $2400.00 with the most. 1,000 pictures at 15 s of GPU each: $3.40.",
      "us-east-1, 2026-11",
    ].join("\n\n"),
  );
});

it("has a row a service: queue, latency, errors, and what runs", () => {
  const rows = new Map<number, string[]>();
  for (const { y, properties } of widgets)
    if (properties.title) rows.set(y, [...(rows.get(y) ?? []), properties.title]);
  expect([...rows.values()]).toEqual([
    ["Queue", "Latency", "Calls and errors", "Replicas and instances", "GPU"],
    ["Queue", "Latency", "Calls and errors", "Replicas"],
    ["Queue", "Latency", "Calls and errors", "Environments and GB-seconds"],
  ]);
});

it("fits CloudWatch's 24 columns, and no widget lies on another", () => {
  const cells = new Set<string>();
  for (const { x, y, width, height } of widgets) {
    expect(x + width).toBeLessThanOrEqual(24);
    for (let column = x; column < x + width; column++)
      for (let row = y; row < y + height; row++) {
        expect(cells.has(`${column} ${row}`)).toBe(false);
        cells.add(`${column} ${row}`);
      }
  }
});

it("names what the plan named", () => {
  const text = JSON.stringify(widgets);
  for (const figure of [
    '["AWS/SQS","ApproximateNumberOfMessagesVisible","QueueName","gallery-test-painter-dead"',
    '["AWS/AutoScaling","GroupInServiceInstances","AutoScalingGroupName","gallery-test-painter-instances"',
    '["Tandem","GpuUtilization","Service","Painter"',
    '["ECS/ContainerInsights","RunningTaskCount","ClusterName","gallery-test-painter","ServiceName","gallery-test-painter"',
    '["AWS/Lambda","Url5xxCount","FunctionName","gallery-test-entry"',
  ])
    expect(text).toContain(figure);
  expect(widgets.every(({ type, properties }) => type === "text" || properties.region === "us-east-1")).toBe(true);
});
