import { Counter, Gauge, Histogram, Registry } from "prom-client";

/**
 * Prometheus metrics of this process: of calls under BentoML's names and labels, so that its dashboards work unchanged, and
 * what BentoML has no name for under `tandem_`. Loaded by {@link startTelemetry}, where they are recorded: in Lambda they are not.
 */
export const metrics = new Registry();

const labels = ["endpoint", "service_name", "service_version", "runner_name"] as const;
const ofApi = ["endpoint", "service_name"] as const;

export const total = new Counter({
  name: "bentoml_service_request_total",
  help: "Calls answered, by endpoint and HTTP status",
  labelNames: [...labels, "http_response_code"],
  registers: [metrics],
});
export const duration = new Histogram({
  name: "bentoml_service_request_duration_seconds",
  help: "Seconds from a call's arrival to its answer",
  labelNames: [...labels, "http_response_code"],
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600],
  registers: [metrics],
});
export const inProgress = new Gauge({
  name: "bentoml_service_request_in_progress",
  help: "Calls in work",
  labelNames: labels,
  aggregator: "sum",
  registers: [metrics],
});
export const batchSize = new Histogram({
  name: "bentoml_service_adaptive_batch_size",
  help: "Calls run as one batch",
  labelNames: labels,
  buckets: [1, 2, 4, 8, 16, 32, 64, 100],
  registers: [metrics],
});
export const errors = new Counter({
  name: "tandem_errors_total",
  help: "Calls answered with an error, by its code",
  labelNames: [...ofApi, "code"],
  registers: [metrics],
});
export const coldStarts = new Counter({
  name: "tandem_cold_starts_total",
  help: "Starts of a service in a new process",
  labelNames: ["service_name"],
  registers: [metrics],
});
export const startSeconds = new Gauge({
  name: "tandem_cold_start_seconds",
  help: "Seconds from the process's start until the service took calls",
  labelNames: ["service_name"],
  aggregator: "max",
  registers: [metrics],
});
export const queueAge = new Histogram({
  name: "tandem_queue_age_seconds",
  help: "Seconds from sending a call to its queue to beginning its work",
  labelNames: ofApi,
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 3600],
  registers: [metrics],
});
export const deliveries = new Counter({
  name: "tandem_deliveries_total",
  help: "Messages of a service's queue, by what came of them",
  labelNames: ["service_name", "outcome"],
  registers: [metrics],
});
export const versions = new Counter({
  name: "tandem_versions_total",
  help: "Calls that were split off to a canary version, by what became of them",
  labelNames: ["service_name", "version", "outcome"],
  registers: [metrics],
});
export const steps = new Counter({
  name: "tandem_denoising_steps_total",
  help: "Denoising steps of finished pictures",
  labelNames: ofApi,
  registers: [metrics],
});
export const stepsPerSecond = new Histogram({
  name: "tandem_denoising_steps_per_second",
  help: "Denoising steps a second, one observation a picture",
  labelNames: ofApi,
  buckets: [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128],
  registers: [metrics],
});
export const accesses = new Counter({
  name: "tandem_access_total",
  help: "Requests to the entry, by the key's name (empty without one) and what became of them",
  labelNames: ["key", "outcome"],
  registers: [metrics],
});
export const gpuUtilization = new Gauge({
  name: "tandem_gpu_utilization",
  help: "Share of the time in which a GPU worked, 0 to 1",
  labelNames: ["service_name", "gpu"],
  aggregator: "max",
  registers: [metrics],
});
export const gpuMemory = new Gauge({
  name: "tandem_gpu_memory_used_bytes",
  help: "Memory of a GPU that is in use",
  labelNames: ["service_name", "gpu"],
  aggregator: "max",
  registers: [metrics],
});
export const gpuMemoryTotal = new Gauge({
  name: "tandem_gpu_memory_total_bytes",
  help: "Memory that a GPU has",
  labelNames: ["service_name", "gpu"],
  aggregator: "max",
  registers: [metrics],
});
