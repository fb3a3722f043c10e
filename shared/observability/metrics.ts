import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Metrics of this process, under BentoML's names and labels, so that its dashboards work unchanged. */
export const metrics = new Registry();

const labels = ["endpoint", "service_name", "service_version", "runner_name"] as const;

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

function labelsOf(service: string, api: string) {
  return { endpoint: `/${api}`, service_name: service, service_version: "not available", runner_name: service };
}

/** Counts a call as in work; the returned function counts it as answered with an HTTP status. */
export function countCall(service: string, api: string): (status: number) => void {
  const call = labelsOf(service, api);
  const started = performance.now();
  inProgress.inc(call);
  return (status) => {
    inProgress.dec(call);
    total.inc({ ...call, http_response_code: status });
    duration.observe({ ...call, http_response_code: status }, (performance.now() - started) / 1000);
  };
}

/** Records how many calls one batch held. */
export function countBatch(service: string, api: string, size: number): void {
  batchSize.observe(labelsOf(service, api), size);
}
