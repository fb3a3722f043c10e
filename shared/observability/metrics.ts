import { ERROR_CODES, type ErrorCode } from "../errors/codes.ts";
import type { EmfRecorder } from "./emf.ts";
import type { GpuUse } from "./gpu.ts";

type Prometheus = typeof import("./prometheus.ts");

let prometheus: Prometheus | undefined;
let emf: EmfRecorder | undefined;

/** Has everything from now on recorded for Prometheus. */
export function recordPrometheus(by: Prometheus): void {
  prometheus = by;
}

/** Has everything from now on recorded there, too. */
export function recordEmf(by: EmfRecorder | undefined): void {
  emf = by;
}

/** The content type of Prometheus's text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** This process's metrics as Prometheus's text. */
export async function metricsText(): Promise<string> {
  return (
    (await prometheus?.metrics.metrics()) ??
    "# CloudWatch has the metrics of functions; with TANDEM_METRICS=prometheus they are here\n"
  );
}

function labelsOf(service: string, api: string) {
  return { endpoint: `/${api}`, service_name: service, service_version: "not available", runner_name: service };
}

/** Counts a call as in work; the returned function counts it as answered, with an error or without. */
export function countCall(service: string, api: string): (error?: { status: number; code: ErrorCode }) => void {
  const call = labelsOf(service, api);
  const started = performance.now();
  prometheus?.inProgress.inc(call);
  emf?.move(service, api, "InFlight", 1);
  return (error) => {
    const ms = performance.now() - started;
    const status = error?.status ?? 200;
    prometheus?.inProgress.dec(call);
    prometheus?.total.inc({ ...call, http_response_code: status });
    prometheus?.duration.observe({ ...call, http_response_code: status }, ms / 1000);
    if (error) prometheus?.errors.inc({ endpoint: call.endpoint, service_name: service, code: error.code });
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
  prometheus?.batchSize.observe(labelsOf(service, api), size);
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
    prometheus?.coldStarts.inc({ service_name: service });
    prometheus?.startSeconds.set({ service_name: service }, seconds);
    emf?.add(service, undefined, "ColdStarts");
    emf?.observe(service, undefined, "ColdStartTime", "Seconds", seconds);
  };
}

/** Records how long a call was in a queue before its work began. */
export function countQueueAge(service: string, api: string, seconds: number): void {
  prometheus?.queueAge.observe({ endpoint: `/${api}`, service_name: service }, seconds);
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

/** Counts a message that is done with, or given back. @param error what its call failed with. */
export function countDelivery(service: string, outcome: DeliveryOutcome, error?: ErrorCode): void {
  prometheus?.deliveries.inc({ service_name: service, outcome });
  emf?.add(service, undefined, `Deliveries.${outcome}`);
  // Its caller's own faults aside: alarms ask for what remains.
  if (error && ERROR_CODES[error].status >= 500) emf?.add(service, undefined, `Deliveries.${outcome}.5xx`);
}

/** What became of a call that was split off to a canary version. */
export type VersionOutcome =
  /** The version answered, its caller's own faults among it. */
  | "Answered"
  /** It answered with 5xx, broke its answer off, or could not start. */
  | "Failed"
  /** It could not be invoked, and the main version answered. */
  | "Unreachable";

/** Counts a call that was split off to a version. */
export function countVersion(service: string, label: string, outcome: VersionOutcome): void {
  prometheus?.versions.inc({ service_name: service, version: label, outcome });
  emf?.add(service, undefined, `Versions.${label}.${outcome}`);
}

/** Records one picture's denoising steps. */
export function countSteps(service: string, api: string, count: number, seconds: number): void {
  if (count === 0 || !(seconds > 0)) return;
  const labels = { endpoint: `/${api}`, service_name: service };
  prometheus?.steps.inc(labels, count);
  prometheus?.stepsPerSecond.observe(labels, count / seconds);
  emf?.add(service, api, "Steps", count);
  emf?.observe(service, api, "StepsPerSecond", "Count/Second", count / seconds);
}

/** Counts a request to the entry, by its key's name and what became of it. */
export function countAccess(key: string, outcome: ErrorCode | "OK"): void {
  prometheus?.accesses.inc({ key, outcome });
}

/** Records how a GPU is used. */
export function recordGpu(service: string, { gpu, utilization, memoryUsedBytes, memoryTotalBytes }: GpuUse): void {
  const labels = { service_name: service, gpu };
  prometheus?.gpuUtilization.set(labels, utilization / 100);
  prometheus?.gpuMemory.set(labels, memoryUsedBytes);
  prometheus?.gpuMemoryTotal.set(labels, memoryTotalBytes);
  emf?.observe(service, undefined, "GpuUtilization", "Percent", utilization);
  emf?.observe(service, undefined, "GpuMemoryUsed", "Bytes", memoryUsedBytes);
}
