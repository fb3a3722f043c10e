import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type ServedProject, serveProject } from "../../e2e/served-project.ts";
import { type CollectedSpan, type Collector, paths, startCollector } from "./otlp-collector.ts";

const picture = await readFile(fileURLToPath(new URL("../../../examples/cat-face.png", import.meta.url)));

let collector: Collector;
let served: ServedProject;
let metrics: string;
beforeAll(async () => {
  collector = await startCollector();
  served = await serveProject(["--workers", "1", "--transport", "sqs", "--redeliver", "0"], {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: "200",
  });
});
afterAll(async () => {
  await served?.stop();
  await collector[Symbol.asyncDispose]();
});

function form(): FormData {
  const body = new FormData();
  body.append("image", new Blob([new Uint8Array(picture)], { type: "image/png" }), "cat.png");
  body.append("params", JSON.stringify({ prompt: "a cat", num_inference_steps: 2, seed: 1 }));
  return body;
}

/** The spans below a caller's own, once the processes have sent them. */
async function traceOf(traceId: string, last: string): Promise<CollectedSpan[]> {
  return vi.waitFor(
    () => {
      const spans = collector.spans.filter((span) => span.traceId === traceId);
      expect(spans.map(({ name }) => name)).toContain(last);
      const ids = new Set(spans.map((span) => span.spanId));
      expect(spans.filter(({ parentId }) => !ids.has(parentId))).toHaveLength(1);
      return spans;
    },
    { timeout: 30_000, interval: 100 },
  );
}

test("a caller's trace goes through the entry, the queue and the GPU worker to the denoising steps", async () => {
  const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
  const headers = { traceparent: `00-${traceId}-${spanId}-01` };
  const answer = await fetch(`${served.url}/generate`, { method: "POST", headers, body: form() });
  expect(answer.status).toBe(200);
  metrics = await (await fetch(`${served.url}/metrics`)).text();
  const spans = await traceOf(traceId, "ControlNet.generate");

  const gpu = "? > ControlNet.generate (server) > SDXLControlNetService.generate (client)";
  const seen = paths(spans);
  expect(seen).toContain(`${gpu} > SDXLControlNetService queue (consumer)`);
  const steps = seen.filter(
    (path) => path === `${gpu} > SDXLControlNetService.generate (server) > draw > denoise > step`,
  );
  expect(steps).toHaveLength(2);
  const process = (name: string) => spans.find((span) => span.name === name)!.resource;
  expect(process("ControlNet.generate")).toMatchObject({ "service.name": "ControlNet" });
  expect(process("step")).toMatchObject({ "service.name": "SDXLControlNetService" });
  expect(process("step")["process.pid"]).toBe(served.workers.SDXLControlNetService![0]);
  expect(spans.find(({ parentId }) => parentId === spanId)?.name).toBe("ControlNet.generate");
});

test("a task's trace begins where it was submitted", async () => {
  const traceId = "5bf92f3577b34da6a3ce929d0e0e4736";
  const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
  const answer = await fetch(`${served.url}/generate/submit`, { method: "POST", headers, body: form() });
  expect(answer.status).toBe(200);
  const seen = paths(await traceOf(traceId, "ControlNet.generate"));
  expect(seen).toEqual(
    expect.arrayContaining([
      "? > send (producer)",
      "? > send (producer) > ControlNet queue (consumer)",
      "? > send (producer) > ControlNet.generate (server)",
    ]),
  );
});

test("the metrics of all processes are on the entry's page", () => {
  for (const service of ["ControlNet", "SDXLControlNetService"]) {
    expect(metrics).toContain(`tandem_cold_starts_total{service_name="${service}"} 1\n`);
    expect(metrics).toMatch(new RegExp(`tandem_cold_start_seconds\\{service_name="${service}"\\} [0-9.]+\n`));
  }
  const api = 'endpoint="/generate",service_name="SDXLControlNetService"';
  expect(metrics).toContain(`tandem_denoising_steps_total{${api}} 2\n`);
  expect(metrics).toContain(`tandem_queue_age_seconds_count{${api}} 1\n`);
});
