import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { log } from "#shared/observability/log.ts";
import { beginCall, beginPart, recordSpans } from "#shared/observability/spans.ts";
import { startTelemetry, stopTelemetry } from "#shared/observability/telemetry.ts";
import { startCollector } from "./otlp-collector.ts";

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL("./loaded.ts", import.meta.url));

interface Report {
  loaded: string[];
  traceparents: string[];
}

async function report(env: Record<string, string>): Promise<Report> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: _, AWS_LAMBDA_FUNCTION_NAME: __, ...rest } = process.env;
  const { stdout } = await run(process.execPath, [SCRIPT], { env: { ...rest, ...env } });
  return JSON.parse(stdout) as Report;
}

describe("without a collector", () => {
  test("nothing of OpenTelemetry's SDK is loaded, and calls have traceparents all the same", async () => {
    const { loaded, traceparents } = await report({});
    expect(loaded).toEqual([]);
    expect(new Set(traceparents.map((header) => header.split("-")[1])).size).toBe(1);
    for (const header of traceparents) expect(header).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  test.each([
    ["OTEL_SDK_DISABLED", "true"],
    ["OTEL_TRACES_EXPORTER", "none"],
  ])("or with %s=%s", async (name, value) => {
    expect((await report({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", [name]: value })).loaded).toEqual([]);
  });

  test("with one, it is; its spans are on their way before the process ends", async () => {
    await using collector = await startCollector();
    const { loaded, traceparents } = await report({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    expect(loaded).toContain("@opentelemetry/exporter-trace-otlp-proto");
    const ids = collector.spans.map(({ spanId }) => spanId);
    expect(ids).toEqual(expect.arrayContaining(traceparents.map((header) => header.split("-")[2]!)));
  });

  test("with one that cannot be reached, calls are answered and the process ends", async () => {
    const { traceparents } = await report({
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_TIMEOUT: "300",
    });
    expect(traceparents).toHaveLength(4);
  });
});

describe("spans that nobody records", () => {
  afterEach(() => stopTelemetry());

  test("parts are none at all", () => {
    expect(beginPart("step", "")).toBeUndefined();
    recordSpans(() => ({ traceparent: "recorded", end: () => undefined }));
    expect(beginPart("step", "")?.traceparent).toBe("recorded");
  });

  test("after a stop", async () => {
    log.level = "silent";
    await using collector = await startCollector();
    process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = `${collector.url}/traces`;
    try {
      await startTelemetry("Entry");
      beginCall("server", "Leaf", "echo", "c", undefined).end();
      await stopTelemetry();
      beginCall("server", "Leaf", "lost", "c", undefined).end();
      expect(collector.spans.map(({ name }) => name)).toEqual(["Leaf.echo"]);
      expect(collector.requests.map(({ url }) => url)).toEqual(["/traces"]);
    } finally {
      delete process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
    }
  });
});
