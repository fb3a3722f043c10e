import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lambdaHandler } from "#shared/lambda/handler.ts";
import { log } from "#shared/observability/log.ts";
import { stopTelemetry } from "#shared/observability/telemetry.ts";
import { door } from "../../lambda/fixture-service.ts";
import { lambdaContext } from "../../lambda/lambda-context.ts";
import { startCollector } from "./otlp-collector.ts";

log.level = "silent";

let written: Record<string, unknown>[];
beforeEach(() => {
  written = [];
  vi.stubEnv("AWS_LAMBDA_FUNCTION_NAME", "door");
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    for (const line of String(text).trimEnd().split("\n")) written.push(JSON.parse(line) as Record<string, unknown>);
    return true;
  });
});
afterEach(async () => {
  await stopTelemetry();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const call = { api: "plain", input: { value: 1 } };

test("an invocation's metrics and spans are out when its answer is", async () => {
  await using collector = await startCollector();
  vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url);
  const handler = lambdaHandler(door);
  expect(await handler(call, lambdaContext())).toEqual({ output: 1 });
  expect(collector.spans.map(({ name }) => name)).toEqual(["Door.plain"]);
  const counts = written.map(({ Service, Api, Requests, ColdStarts }) => [Service, Api, Requests, ColdStarts]);
  expect(counts).toEqual([
    ["Door", undefined, undefined, 1],
    ["Door", "plain", 1, undefined],
  ]);

  await handler(call, lambdaContext());
  expect(collector.spans).toHaveLength(2);
  expect(written.slice(2).map(({ Api, Requests }) => [Api, Requests])).toEqual([["plain", 1]]);
});

test("a collector that never answers does not cost the answer", async () => {
  const hung = http.createServer(() => undefined).listen(0, "127.0.0.1");
  await once(hung, "listening");
  vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", `http://127.0.0.1:${(hung.address() as AddressInfo).port}`);
  // The call took nearly all the time there was.
  const context = { ...lambdaContext(), getRemainingTimeInMillis: vi.fn(() => 300).mockReturnValueOnce(30_000) };
  const answer = lambdaHandler(door)(call, context);
  const late = delay(1_800, "late", { ref: false });
  expect(await Promise.race([answer, late])).toEqual({ output: 1 });
  hung.closeAllConnections();
  hung.close();
});
