import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ErrorCode } from "../errors/codes.ts";
import type { EmfRecorder } from "./emf.ts";
import type { GpuUse } from "./gpu.ts";

/**
 * Metrics of this process: of calls under BentoML's names and labels, so that its dashboards work unchanged, and what
 * BentoML has no name for under `tandem_`.
 */
export const metrics = new Registry();

let emf: EmfRecorder | undefined;

/** Has everything from now on recorded there, too. */
export function recordEmf(by: EmfRecorder | undefined): void {
  emf = by;
}

const labels = ["endpoint", "service_name", "service_version", "runner_name"] as const;
const ofApi = ["endpoint", "service_name"] as const;

const total = new Counter({
  name: "bentoml_service_request_total",
  help: "Calls answered, by endpoint and HTTP status",
  labelNames: [...labels, "http_response_code"],
  registers: [metrics],
});
const duration = new Histogram({
  name: "bentoml_service_request_duration_seconds",
  help: "Seconds from a call's arrival to its answer",
  labelNames: [...labels, "http_response_code"],
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600],
  registers: [metrics],
});
const inProgress = new Gauge({
  name: "bentoml_service_request_in_progress",
  help: "Calls in work",
  labelNames: labels,
  aggregator: "sum",
  registers: [metrics],
});
const batchSize = new Histogram({
  name: "bentoml_service_adaptive_batch_size",
  help: "Calls run as one batch",
  labelNames: labels,
  buckets: [1, 2, 4, 8, 16, 32, 64, 100],
  registers: [metrics],
});
const errors = new Counter({
  name: "tandem_errors_total",
  help: "Calls answered with an error, by its code",
  labelNames: [...ofApi, "code"],
  registers: [metrics],
});
const coldStarts = new Counter({
  name: "tandem_cold_starts_total",
  help: "Starts of a service in a new process",
  labelNames: ["service_name"],
  registers: [metrics],
});
const startSeconds = new Gauge({
  name: "tandem_cold_start_seconds",
  help: "Seconds from the process's start until the service took calls",
  labelNames: ["service_name"],
  aggregator: "max",
  registers: [metrics],
});
const queueAge = new Histogram({
  name: "tandem_queue_age_seconds",
  help: "Seconds from sending a call to its queue to beginning its work",
  labelNames: ofApi,
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 3600],
  registers: [metrics],
});
const deliveries = new Counter({
  name: "tandem_deliveries_total",
  help: "Messages of a service's queue, by what came of them",
  labelNames: ["service_name", "outcome"],
  registers: [metrics],
});
const steps = new Counter({
  name: "tandem_denoising_steps_total",
  help: "Denoising steps of finished pictures",
  labelNames: ofApi,
  registers: [metrics],
});
const stepsPerSecond = new Histogram({
  name: "tandem_denoising_steps_per_second",
  help: "Denoising steps a second, one observation a picture",
  labelNames: ofApi,
  buckets: [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128],
  registers: [metrics],
});

const gpuUtilization = new Gauge({
  name: "tandem_gpu_utilization",
  help: "Share of the time in which a GPU worked, 0 to 1",
  labelNames: ["service_name", "gpu"],
  aggregator: "max",
  registers: [metrics],
});
const gpuMemory = new Gauge({
  name: "tandem_gpu_memory_used_bytes",
  help: "Memory of a GPU that is in use",
  labelNames: ["service_name", "gpu"],
  aggregator: "max",
  registers: [metrics],
});

function labelsOf(service: string, api: string) {
  return { endpoint: `/${api}`, service_name: service, service_version: "not available", runner_name: service };
}

/** Counts a call as in work; the returned function counts it as answered, with an error or without. */
export function countCall(service: string, api: string): (error?: { status: number; code: ErrorCode }) => void {
  const call = labelsOf(service, api);
  const started = performance.now();
  inProgress.inc(call);
  emf?.move(service, api, "InFlight", 1);
  return (error) => {
    const ms = performance.now() - started;
    const status = error?.status ?? 200;
    inProgress.dec(call);
    total.inc({ ...call, http_response_code: status });
    duration.observe({ ...call, http_response_code: status }, ms / 1000);
    if (error) errors.inc({ endpoint: call.endpoint, service_name: service, code: error.code });
    if (!emf) return;
    emf.move(service, api, "InFlight", -1);
    emf.add(service, api, "Requests");
    emf.observe(service, api, "Latency", "Milliseconds", ms);
    if (!error) return;
    emf.add(service, api, "Errors");
    emf.add(service, api, `Errors.${error.code}`);
  };
}

/** Records how many calls one batch held. */
export function countBatch(service: string, api: string, size: number): void {
  batchSize.observe(labelsOf(service, api), size);
  emf?.observe(service, api, "BatchSize", "Count", size);
}

let startedBefore = false;

/**
 * Counts a service's start, once it has come to its end: call the returned function then. The first of a process began
 * with the process.
 */
export function countStart(service: string): () => void {
  const began = startedBefore ? process.uptime() : 0;
  startedBefore = true;
  return () => {
    const seconds = process.uptime() - began;
    coldStarts.inc({ service_name: service });
    startSeconds.set({ service_name: service }, seconds);
    emf?.add(service, undefined, "ColdStarts");
    emf?.observe(service, undefined, "ColdStartTime", "Seconds", seconds);
  };
}

/** Records how long a call was in a queue before its work began. */
export function countQueueAge(service: string, api: string, seconds: number): void {
  queueAge.observe({ endpoint: `/${api}`, service_name: service }, seconds);
  emf?.observe(service, api, "QueueAge", "Seconds", seconds);
}

/** What came of a message: {@link countDelivery}. */
export type DeliveryOutcome =
  /** Its call was run, and its output is the result. */
  | "run"
  /** Its call was run, and its error is the result. */
  | "failed"
  /** Its call was answered without being run: too late, or broken off before. */
  | "refused"
  /** Its call had a result already, by another run or a cancel. */
  | "superseded"
  /** It was given back and comes again. */
  | "redelivered"
  /** It was given back for the last time: it goes to the dead letters. */
  | "dead"
  /** A callback URL was told. */
  | "callback";

/** Counts a message that is done with, or given back. */
export function countDelivery(service: string, outcome: DeliveryOutcome): void {
  deliveries.inc({ service_name: service, outcome });
  emf?.add(service, undefined, `Deliveries.${outcome}`);
}

/** Records one picture's denoising steps. */
export function countSteps(service: string, api: string, count: number, seconds: number): void {
  if (count === 0 || !(seconds > 0)) return;
  const labels = { endpoint: `/${api}`, service_name: service };
  steps.inc(labels, count);
  stepsPerSecond.observe(labels, count / seconds);
  emf?.add(service, api, "Steps", count);
  emf?.observe(service, api, "StepsPerSecond", "Count/Second", count / seconds);
}

/** Records how a GPU is used. */
export function recordGpu(service: string, { gpu, utilization, memoryUsedBytes }: GpuUse): void {
  const labels = { service_name: service, gpu };
  gpuUtilization.set(labels, utilization / 100);
  gpuMemory.set(labels, memoryUsedBytes);
  emf?.observe(service, undefined, "GpuUtilization", "Percent", utilization);
  emf?.observe(service, undefined, "GpuMemoryUsed", "Bytes", memoryUsedBytes);
}
