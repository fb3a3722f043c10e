import type { GpuInstanceType } from "../catalogue/instance-types.ts";
import type { GpuFunctionCompute } from "./compute-kind.ts";
import type { DealtGpus } from "./deal-gpus.ts";
import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

/** GiB of GPU memory that a function may have. */
const ACCELERATOR_MEMORY = [3, 6, 12, 16, 24, 48];
/** Seconds that a function on managed instances may work for an event source: 90 minutes. */
export const GPU_FUNCTION_LIMIT = 5400;
/** MB. */
const GPU_FUNCTION_MEMORY = { least: 2048, most: 32_768 };
/** GiB for each core that a function may have: EC2's three kinds of machines. */
const MEMORY_PER_CORE = [8, 4, 2];
/** What Lambda keeps of each instance for itself: cores, GiB (AWS's agent toolkit, aws-lambda-managed-instances). */
const KEPT = { cores: 1, memory: 1 };

/** Fields of a service's `aws` that nothing but instances of its own, or a GPU, has a use for. */
const OF_INSTANCES = ["fallback_instance_types", "spot_percent", "warm_pool", "ami", "root_volume"] as const;
const OF_GPUS = ["model_url", "seconds_per_call"] as const;

/**
 * Tells of fields of `aws` that mean nothing to a service without a GPU. Those beside a written `instance_type` without
 * one are told of when the file is read.
 */
export function checkWithoutGpu(demand: Demand, report: PlanReport): void {
  const { name, config } = demand;
  const { aws = {}, instance_type } = config;
  if (instance_type === undefined && aws.backend !== undefined)
    report.error(demand.at("aws", "backend"), `${name} asks for no GPU`, "leave it out, or set resources.gpu");
  for (const field of instance_type === undefined ? [...OF_INSTANCES, ...OF_GPUS] : OF_GPUS)
    if (aws[field] !== undefined)
      report.warn(
        demand.at("aws", field),
        `has no effect: ${name} asks for no GPU`,
        "leave it out, or set resources.gpu",
      );
}

/**
 * Refuses fields of `aws` that exclude each other. Warm pools may have several instance types (AWS announced it in November
 * 2025), but none that is Spot.
 */
export function checkWithGpu(demand: Demand, report: PlanReport): void {
  const { spot_percent = 0, warm_pool = 0 } = demand.config.aws ?? {};
  if (spot_percent > 0 && warm_pool > 0)
    report.error(
      demand.at("aws", "warm_pool"),
      "an auto scaling group that launches Spot instances can have no warm pool",
      "leave it out, or write spot_percent: 0",
    );
}

/** A GPU service as a Lambda function: one GPU of a size that Lambda has. */
export function acceleratorOf(
  demand: Demand,
  type: GpuInstanceType,
  { gpus, workers }: DealtGpus,
  report: PlanReport,
): GpuFunctionCompute | undefined {
  const { name, memory, timeout } = demand;
  const backend = demand.at("aws", "backend");
  const gib = (type.gpuMemory ?? 0) / 1024;
  const acceleratorMemory = ACCELERATOR_MEMORY.find((size) => size >= gib);
  const before = report.errors;
  if (gpus !== 1 || workers.length !== 1)
    report.error(
      backend,
      `a function has one GPU and one worker, and a replica of ${name} has ${gpus} and ${workers.length}`,
      "take backend: ecs",
    );
  if (gib === 0 || acceleratorMemory === undefined)
    report.error(
      backend,
      `functions have GPUs of ${ACCELERATOR_MEMORY.join(", ")} GiB, and ${type.name} has ${gib === 0 ? "one of unknown size" : `${Math.round(gib)}`}`,
      "take backend: ecs, or an instance_type such as gpu.l4.1",
    );
  if (timeout > GPU_FUNCTION_LIMIT)
    report.error(
      demand.override("traffic", "timeout"),
      `${timeout} s are over the ${GPU_FUNCTION_LIMIT} s that a function may work for its queue`,
      `write ${GPU_FUNCTION_LIMIT} or less, or take backend: ecs`,
    );
  const size = functionSize(type, demand);
  if (memory !== undefined && memory < GPU_FUNCTION_MEMORY.least)
    report.error(
      demand.override("resources", "memory"),
      `${memory} MiB are less than the ${GPU_FUNCTION_MEMORY.least} MB that a function with a GPU has at the least`,
      `write 2Gi or more; it is a limit there, so as much as the model needs`,
    );
  else if (size.cores > size.most)
    report.error(
      memory === undefined ? demand.override("resources", "cpu") : demand.override("resources", "memory"),
      `${name} wants ${size.cores} cores and ${size.cores * size.memoryPerCore} GiB, and a function on ${type.name} has ${size.most} and ${size.most * size.memoryPerCore} at the most`,
      "ask for less, or take a larger instance_type",
    );
  if (report.errors > before || acceleratorMemory === undefined) return undefined;
  return {
    kind: "gpu-function",
    instanceType: type.name,
    type,
    memory: size.cores * size.memoryPerCore * 1024,
    memoryPerCore: size.memoryPerCore,
    acceleratorMemory,
  };
}

/**
 * Whole cores, each with as many GiB as the machine's have about: those that a replica asks for, or its GPU's share of what
 * Lambda leaves of the machine, which is also the most.
 */
function functionSize(
  { vcpu, memory: sold, gpus }: GpuInstanceType,
  { cpu = 0, memory = 0 }: Pick<Demand, "cpu" | "memory">,
): { cores: number; most: number; memoryPerCore: number } {
  const gib = sold / 1024;
  const memoryPerCore = MEMORY_PER_CORE.find((ratio) => ratio <= gib / vcpu) ?? Math.min(...MEMORY_PER_CORE);
  const left = Math.min(vcpu - KEPT.cores, Math.floor((gib - KEPT.memory) / memoryPerCore));
  const share = Math.floor(left / Math.max(1, gpus));
  const most = Math.min(share, Math.floor(GPU_FUNCTION_MEMORY.most / 1024 / memoryPerCore));
  const asked = Math.max(Math.ceil(cpu), Math.ceil(memory / 1024 / memoryPerCore));
  return { cores: asked || most, most, memoryPerCore };
}
