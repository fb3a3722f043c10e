import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { ERROR_CODES, type ErrorCode } from "#shared/errors/codes.ts";
import { EmfRecorder } from "#shared/observability/emf.ts";
import {
  countBatch,
  countCall,
  countDelivery,
  countQueueAge,
  countStart,
  countSteps,
  recordEmf,
} from "#shared/observability/metrics.ts";
import { flushTelemetry, startTelemetry, stopTelemetry } from "#shared/observability/telemetry.ts";

/**
 * The schema that AWS publishes, and below it what the specification says in words
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html#CloudWatch_Embedded_Metric_Format_Specification_schema).
 */
const UNITS =
  /^(Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|Terabits|Percent|Count|Bytes\/Second|Kilobytes\/Second|Megabytes\/Second|Gigabytes\/Second|Terabytes\/Second|Bits\/Second|Kilobits\/Second|Megabits\/Second|Gigabits\/Second|Terabits\/Second|Count\/Second|None)$/;
const name = z.string().min(1).max(1024);
const schema = z.looseObject({
  _aws: z.looseObject({
    Timestamp: z.int(),
    CloudWatchMetrics: z.array(
      z.looseObject({
        Namespace: name,
        Dimensions: z.array(z.array(z.string().min(1).max(250)).min(1).max(30)).min(1),
        Metrics: z
          .array(
            z.looseObject({
              Name: name,
              Unit: z.string().regex(UNITS).optional(),
              StorageResolution: z.union([z.literal(1), z.literal(60)]).optional(),
            }),
          )
          .max(100),
      }),
    ),
  }),
});
const target = z.union([z.number(), z.array(z.number()).min(1).max(100)]);

/** Reads a line that CloudWatch would take. */
function valid(line: string): Record<string, unknown> {
  expect(line).not.toContain("\n");
  expect(Buffer.byteLength(line)).toBeLessThan(2 ** 20);
  const json = schema.parse(JSON.parse(line));
  for (const { Dimensions, Metrics } of json._aws.CloudWatchMetrics) {
    for (const dimension of Dimensions.flat()) expect(json[dimension]).toEqual(expect.stringMatching(/^.{1,1024}$/));
    for (const { Name } of Metrics) target.parse(json[Name]);
  }
  return json;
}

/** A line without its declarations, whose metrics are checked to be the members. */
function membersOf(line: string): Record<string, unknown> {
  const { _aws, ...members } = valid(line);
  const { Dimensions, Metrics } = (_aws as z.infer<typeof schema>["_aws"]).CloudWatchMetrics[0]!;
  expect([...Dimensions[0]!, ...Metrics.map(({ Name }) => Name)]).toEqual(Object.keys(members));
  return members;
}

test("what a canary version's process did is told apart by its label", () => {
  const recorder = new EmfRecorder("next");
  recorder.add("Leaf", undefined, "Deliveries.run");
  recorder.add("Leaf", "echo", "Requests", 2);
  expect(recorder.lines().map(membersOf)).toEqual([
    { Service: "Leaf", Version: "next", "Deliveries.run": 1 },
    { Service: "Leaf", Api: "echo", Version: "next", Requests: 2 },
  ]);
});

test("of calls from a queue that failed, those are told that failed by no fault of their callers", () => {
  const recorder = new EmfRecorder();
  recordEmf(recorder);
  countDelivery("Leaf", "failed", "INVALID_ARGUMENT");
  countDelivery("Leaf", "failed", "INTERNAL");
  countDelivery("Leaf", "refused", "CANCELED");
  recordEmf(undefined);
  expect(recorder.lines().map(membersOf)).toEqual([
    { Service: "Leaf", "Deliveries.failed": 2, "Deliveries.failed.5xx": 1, "Deliveries.refused": 1 },
  ]);
});

describe("what CloudWatch takes", () => {
  test.each<[what: string, change: (line: Record<string, never>) => void]>([
    ["a unit of its own", (line) => Object.assign(metricOf(line), { Unit: "pictures" })],
    ["a value that is not there", (line) => Object.assign(metricOf(line), { Name: "Other" })],
    ["too many values", (line) => Object.assign(line, { Latency: Array(101).fill(1) })],
    ["a dimension that is not there", (line) => Reflect.deleteProperty(line, "Service")],
    ["no time", (line) => Reflect.deleteProperty(line._aws!, "Timestamp")],
  ])("is told from %s", (_what, change) => {
    const recorder = new EmfRecorder();
    recorder.observe("Leaf", "echo", "Latency", "Milliseconds", 3);
    const line = recorder.lines()[0]!;
    valid(line);
    const broken = JSON.parse(line) as Record<string, never>;
    change(broken);
    expect(() => valid(JSON.stringify(broken))).toThrow();
  });

  function metricOf(line: Record<string, never>): object {
    return (line as unknown as z.infer<typeof schema>)._aws.CloudWatchMetrics[0]!.Metrics[0]!;
  }
});

describe("lines", () => {
  let recorder: EmfRecorder;
  beforeEach(() => {
    recorder = new EmfRecorder();
    recordEmf(recorder);
    return () => recordEmf(undefined);
  });

  test("have one api's calls each, with their times", () => {
    const [first, second] = [countCall("Leaf", "echo"), countCall("Leaf", "echo")];
    countCall("Leaf", "fail")({ status: 503, code: "UNAVAILABLE" });
    first();
    second();
    const lines = recorder.lines(1234);
    expect((valid(lines[0]!)._aws as { Timestamp: number }).Timestamp).toBe(1234);
    const latency = (count: number) => Array(count).fill(expect.any(Number));
    expect(lines.map(membersOf)).toEqual([
      { Service: "Leaf", Api: "echo", InFlight: 2, Requests: 2, Latency: latency(2) },
      {
        ...{ Service: "Leaf", Api: "fail", InFlight: 1, Requests: 1, Latency: latency(1) },
        ...{ Errors: 1, "Errors.UNAVAILABLE": 1 },
      },
    ]);
  });

  test("have what came since the lines before, and are none where nothing did", () => {
    countCall("Leaf", "echo")();
    expect(recorder.lines()).toHaveLength(1);
    expect(recorder.lines()).toEqual([]);
    countCall("Leaf", "echo")();
    expect(membersOf(recorder.lines()[0]!)).toMatchObject({ Requests: 1 });
  });

  test("tell the calls in work until they have ended", () => {
    const end = countCall("Leaf", "hold");
    for (let i = 0; i < 2; i++)
      expect(recorder.lines().map(membersOf)).toEqual([{ Service: "Leaf", Api: "hold", InFlight: 1 }]);
    end();
    expect(membersOf(recorder.lines()[0]!)).toMatchObject({ InFlight: 1, Requests: 1 });
    expect(recorder.lines()).toEqual([]);
  });

  test("have every other measurement, with its unit", () => {
    countQueueAge("Leaf", "echo", 1.5);
    countBatch("Leaf", "echo", 4);
    countSteps("Leaf", "echo", 30, 10);
    countDelivery("Leaf", "run");
    countDelivery("Leaf", "run");
    countDelivery("Leaf", "dead");
    countStart("Leaf")();
    const lines = recorder.lines();
    expect(lines.map(membersOf)).toEqual([
      { Service: "Leaf", Api: "echo", QueueAge: [1.5], BatchSize: [4], Steps: 30, StepsPerSecond: [3] },
      {
        Service: "Leaf",
        ...{ "Deliveries.run": 2, "Deliveries.dead": 1, ColdStarts: 1, ColdStartTime: [expect.any(Number)] },
      },
    ]);
    const units = lines.flatMap((line) =>
      (valid(line)._aws as z.infer<typeof schema>["_aws"]).CloudWatchMetrics[0]!.Metrics.map(({ Unit }) => Unit),
    );
    expect(units).toEqual(["Seconds", "Count", "Count", "Count/Second", "Count", "Count", "Count", "Seconds"]);
  });

  test("stay within the limits whatever comes: 100 values of many, no endless numbers, one metric a code", () => {
    for (const [code, { status }] of Object.entries(ERROR_CODES))
      for (let i = 0; i < 50; i++) countCall("Leaf", "fail")({ status, code: code as ErrorCode });
    recorder.observe("Leaf", "fail", "QueueAge", "Seconds", Number.NaN);
    const members = membersOf(recorder.lines()[0]!);
    expect(members.Latency).toHaveLength(100);
    expect(members.Requests).toBe(50 * Object.keys(ERROR_CODES).length);
    expect(members).not.toHaveProperty("QueueAge");
    expect(Object.keys(members).filter((member) => member.startsWith("Errors."))).toHaveLength(
      Object.keys(ERROR_CODES).length,
    );
  });

  test("have values of the whole time, not of its begin", () => {
    for (let i = 0; i < 100_000; i++) recorder.observe("Leaf", "echo", "Latency", "Milliseconds", i);
    const values = membersOf(recorder.lines()[0]!).Latency as number[];
    // All of 100 draws in one half of the time: 2 in 2^100.
    expect(values.some((value) => value < 50_000)).toBe(true);
    expect(values.some((value) => value >= 50_000)).toBe(true);
    expect(new Set(values).size).toBe(100);
  });
});

describe("on standard output", () => {
  let written: string[];
  beforeEach(() => {
    written = [];
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
    vi.useFakeTimers();
  });
  afterEach(async () => {
    vi.useRealTimers();
    await stopTelemetry();
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });

  test("in Lambda a line comes with each flush, and none by itself", async () => {
    vi.stubEnv("AWS_LAMBDA_FUNCTION_NAME", "entry");
    await startTelemetry("Leaf");
    countCall("Leaf", "echo")();
    vi.advanceTimersByTime(600_000);
    expect(written).toEqual([]);
    await flushTelemetry();
    expect(written).toHaveLength(1);
    expect(membersOf(written[0]!.trimEnd())).toMatchObject({ Service: "Leaf", Api: "echo", Requests: 1 });
    await flushTelemetry();
    expect(written).toHaveLength(1);
  });

  test("with TANDEM_METRICS=emf a line comes each minute, and the last one at the stop", async () => {
    vi.stubEnv("TANDEM_METRICS", "emf");
    await startTelemetry("Leaf");
    for (let i = 0; i < 3; i++) countCall("Leaf", "echo")();
    vi.advanceTimersByTime(59_000);
    expect(written).toEqual([]);
    vi.advanceTimersByTime(1_000);
    expect(written.map((text) => membersOf(text.trimEnd()).Requests)).toEqual([3]);
    countCall("Leaf", "echo")();
    await stopTelemetry();
    expect(written.map((text) => membersOf(text.trimEnd()).Requests)).toEqual([3, 1]);
    countCall("Leaf", "echo")();
    vi.advanceTimersByTime(600_000);
    expect(written).toHaveLength(2);
  });

  test.each([
    ["outside of Lambda", {}],
    ["in Lambda with TANDEM_METRICS=prometheus", { AWS_LAMBDA_FUNCTION_NAME: "entry", TANDEM_METRICS: "prometheus" }],
  ])("none comes %s", async (_where, env) => {
    for (const [variable, value] of Object.entries(env)) vi.stubEnv(variable, value);
    await startTelemetry("Leaf");
    countCall("Leaf", "echo")();
    vi.advanceTimersByTime(600_000);
    await flushTelemetry();
    expect(written).toEqual([]);
  });
});
