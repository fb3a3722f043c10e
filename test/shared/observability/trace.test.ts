import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ImageValue } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { metrics } from "#shared/observability/prometheus.ts";
import { flushTelemetry, startTelemetry, stopTelemetry } from "#shared/observability/telemetry.ts";
import * as project from "../../../service.ts";
import { type Deploy, type Deployment, deployLocally, deployOver, SERVERS } from "../../contract/deployment.ts";
import { A, deployables, Leaf } from "../../contract/fixture-service.ts";
import { deployOverQueues } from "../../contract/queue-deployment.ts";
import { type Collector, paths, startCollector } from "./otlp-collector.ts";

log.level = "silent";
const PICTURE = readFileSync(fileURLToPath(new URL("../../../examples/cat-face.png", import.meta.url)));

let collector: Collector;
beforeAll(async () => {
  collector = await startCollector();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
  process.env.OTEL_RESOURCE_ATTRIBUTES = "deployment.environment.name=test";
  await startTelemetry("Entry");
});
afterAll(async () => {
  await stopTelemetry();
  await collector[Symbol.asyncDispose]();
});
beforeEach(() => {
  collector.spans.length = 0;
});

const CARRIERS: [name: string, deploy: Deploy, queued: boolean][] = [
  ["http", deployOver(SERVERS["http-tcp"]), false],
  ["sqs", deployOverQueues, true],
];

describe.each(CARRIERS)("a picture over %s", (_name, deploy, queued) => {
  let running: Deployment;
  beforeAll(async () => {
    running = await deploy([project.SDXLControlNetService, project.ControlNet]);
  });
  afterAll(() => running[Symbol.asyncDispose]());

  test("is one trace, from the caller to each denoising step", async () => {
    metrics.resetMetrics();
    const image = new ImageValue(PICTURE, "png");
    await running
      .client(project.ControlNet.service)
      .generate({ image, params: { prompt: "a cat", num_inference_steps: 3, seed: 1 } }, { callId: "call-1" });
    await flushTelemetry();

    const { spans } = collector;
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    const call = (name: string) => `${name} (client) > ${name} (server)`;
    const outer = call("ControlNet.generate");
    const inner = `${outer} > ${call("SDXLControlNetService.generate")}`;
    const seen = paths(spans);
    expect(new Set(seen)).toEqual(
      new Set([
        ...["ControlNet.generate (client)", outer],
        ...[`${outer} > SDXLControlNetService.info (client)`, `${outer} > ${call("SDXLControlNetService.info")}`],
        ...[`${outer} > SDXLControlNetService.generate (client)`, inner],
        ...[`${inner} > draw`, `${inner} > draw > encode`, `${inner} > draw > denoise`, `${inner} > draw > decode`],
        `${inner} > draw > denoise > step`,
        ...(queued
          ? [
              "ControlNet.generate (client) > ControlNet queue (consumer)",
              `${outer} > SDXLControlNetService.info (client) > SDXLControlNetService queue (consumer)`,
              `${outer} > SDXLControlNetService.generate (client) > SDXLControlNetService queue (consumer)`,
            ]
          : []),
      ]),
    );
    expect(seen.filter((path) => path.endsWith(" > step"))).toHaveLength(3);

    const named = (name: string, kind: number) => spans.find((span) => span.name === name && span.kind === kind)!;
    expect(named("SDXLControlNetService.generate", 2).attributes).toMatchObject({
      "rpc.service": "SDXLControlNetService",
      "rpc.method": "generate",
      "tandem.call_id": "call-1",
      "tandem.code": "OK",
      ...(queued && { "tandem.attempt": 1 }),
    });
    const steps = spans.filter(({ name }) => name === "step").toSorted((a, b) => Number(a.start - b.start));
    expect(steps.map(({ attributes }) => attributes["tandem.step"])).toEqual([1, 2, 3]);
    const loop = named("denoise", 1);
    expect(loop.attributes["tandem.steps"]).toBe(3);
    // Times between threads are fractions of a millisecond, rounded one by one.
    expect(steps[2]!.end - loop.end).toBeLessThan(1_000_000n);
    for (const { start, end } of steps) expect(end).toBeGreaterThan(start);
    expect(spans[0]!.resource).toMatchObject({ "service.name": "Entry", "deployment.environment.name": "test" });
    expect(collector.requests[0]!.url).toBe("/v1/traces");
  });

  test("its steps a second, and where it came from a queue its wait, are in the metrics", async () => {
    const text = await metrics.metrics();
    const api = 'endpoint="/generate",service_name="SDXLControlNetService"';
    expect(text).toContain(`tandem_denoising_steps_total{${api}} 3\n`);
    expect(text).toContain(`tandem_denoising_steps_per_second_count{${api}} 1\n`);
    const waited = new RegExp(`^tandem_queue_age_seconds_sum\\{${api}\\} (.*)$`, "m").exec(text);
    expect(Number(waited?.[1] ?? -1) >= 0).toBe(queued);
    expect(text.includes('tandem_deliveries_total{service_name="SDXLControlNetService",outcome="run"} 2\n')).toBe(
      queued,
    );
  });
});

describe("a call's spans", () => {
  let running: Deployment;
  beforeAll(async () => {
    running = await deployLocally(deployables);
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const above = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
  const from = (traceparent: string) =>
    ({ traceparent, callId: "x", deadline: Date.now() + 5000, signal: new AbortController().signal }) as never;

  test("go on from the traceparent that came, and are the ids that are passed on", async () => {
    const hops = await running.client(A).hop({}, from(`${above}-01`));
    await flushTelemetry();
    expect(collector.spans).toHaveLength(8);
    const first = collector.spans.find(({ parentId }) => parentId === "b7ad6b7169203331")!;
    expect([first.name, first.kind, first.traceId]).toEqual(["A.hop", 3, "0af7651916cd43dd8448eb211c80319c"]);
    const servers = collector.spans.filter(({ kind }) => kind === 2);
    expect(new Set(hops.map(({ traceparent }) => traceparent))).toEqual(
      new Set(servers.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`)),
    );
  });

  test("are not recorded of a trace that its caller did not sample, whose ids go on all the same", async () => {
    const hops = await running.client(A).hop({}, from(`${above}-00`));
    await flushTelemetry();
    expect(collector.spans).toEqual([]);
    for (const { traceparent } of hops)
      expect(traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
    expect(new Set(hops.map(({ traceparent }) => traceparent)).size).toBe(4);
  });

  test.each([
    ["NOT_FOUND", 0],
    ["UNAVAILABLE", 2],
  ])("carry the code %s; the server's status is %d, the client's 2", async (code, status) => {
    await expect(running.client(Leaf).fail({ code, message: "out of luck" })).rejects.toThrow("out of luck");
    await flushTelemetry();
    const [server, client] = collector.spans.toSorted((a, b) => a.kind - b.kind);
    expect([server!.kind, server!.status, server!.attributes["tandem.code"]]).toEqual([2, status, code]);
    expect([client!.kind, client!.status, client!.attributes["error.type"]]).toEqual([3, 2, code]);
    const sent = collector.requests.at(-1)!.body;
    expect([sent.includes(code), sent.includes("out of luck")]).toEqual([true, false]);
  });

  test("of a stream end when it does", async () => {
    for await (const { n } of running.client(Leaf).count({ to: 2 })) {
      await flushTelemetry();
      expect([n, paths(collector.spans)]).toEqual([n, []]);
    }
    await flushTelemetry();
    expect(paths(collector.spans).toSorted()).toEqual([
      "Leaf.count (client)",
      "Leaf.count (client) > Leaf.count (server)",
    ]);
  });
});
