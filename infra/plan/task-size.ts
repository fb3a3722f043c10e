import type { Catalogue, GpuInstanceType } from "../catalogue/instance-types.ts";
import type { DealtGpus } from "./deal-gpus.ts";
import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

/** What a task reserves of its machine, and how many of them a machine has. */
export interface TaskSize {
  /** CPU units, 1024 a core. */
  readonly cpu: number;
  /** MiB. */
  readonly memory: number;
  readonly replicasPerInstance: number;
}

const UNITS = 1024;
/** Less than this, in MiB, is little for a process that weights of a model pass through. */
const SMALL_FOR_WEIGHTS = 4096;

/**
 * The size of a GPU service's task: its share of the smallest machine by GPUs, or what it asks for. What it cannot have of
 * the first machine is refused with the type that would do.
 * @param fallbacks machines that are tried when the first is sold out; they have what it asks for.
 */
export function gpuTaskSize(
  demand: Demand,
  [type, ...fallbacks]: readonly [GpuInstanceType, ...GpuInstanceType[]],
  { gpus }: DealtGpus,
  catalogue: Catalogue,
  report: PlanReport,
): TaskSize {
  const { name, cpu, memory } = demand;
  const better = (): string => {
    const { gpuType } = type;
    const same = catalogue.infer({ cpu, memory, gpu: gpus, gpuType });
    if (same.kind === "gpu") return `take ${same.name} (${sizeText(same)})`;
    const other = catalogue.infer({ cpu, memory, gpu: gpus });
    return other.kind === "gpu" ? `take ${other.name} (${sizeText(other)})` : same.kind === "none" ? same.hint : "";
  };
  const has = `${type.name} (${type.ec2}) has`;
  let fits = true;
  const refuse = (field: string[], message: string): void => {
    fits = false;
    report.error(demand.override(...field), message, better());
  };
  if (gpus > type.gpus) {
    const field = demand.workers.gpus ? ["workers"] : ["resources", "gpu"];
    refuse(field, `a replica of ${name} wants ${gpus} GPUs, and ${has} ${type.gpus}`);
  }
  if (cpu !== undefined && cpu > type.vcpu)
    refuse(["resources", "cpu"], `a replica of ${name} wants ${cpu} cores, and ${has} ${type.vcpu}`);
  if (memory !== undefined && memory > type.reservableMemory)
    refuse(
      ["resources", "memory"],
      `a replica of ${name} wants ${memory} MiB, and ${has} ${type.reservableMemory} MiB for tasks`,
    );
  if (!fits) return { cpu: UNITS, memory: 512, replicasPerInstance: 1 };
  const types = [type, ...fallbacks];
  const smallest = (amount: (type: GpuInstanceType) => number): number => Math.min(...types.map(amount));
  const replicasPerInstance = Math.max(
    1,
    smallest((one) =>
      Math.floor(Math.min(one.gpus / Math.max(1, gpus), one.vcpu / (cpu ?? 0), one.reservableMemory / (memory ?? 0))),
    ),
  );
  const share = Math.floor(smallest(({ reservableMemory }) => reservableMemory) / replicasPerInstance);
  if (memory !== undefined && memory < SMALL_FOR_WEIGHTS) {
    report.warn(
      demand.override("resources", "memory"),
      `${memory} MiB is little for a model's weights; it is reserved, not a limit: a replica may use about ${share} MiB`,
      "leave it out to reserve a replica's share of the machine",
    );
  }
  return {
    cpu: Math.round((cpu ?? smallest(({ vcpu }) => vcpu) / replicasPerInstance) * UNITS),
    memory: memory ?? share,
    replicasPerInstance,
  };
}

function sizeText({ gpus, vcpu, reservableMemory }: GpuInstanceType): string {
  return `${gpus} GPU${gpus === 1 ? "" : "s"}, ${vcpu} vCPUs, ${reservableMemory} MiB for tasks`;
}

/**
 * Fargate's sizes: CPU units, and the least, the most and the step of its memory in MiB.
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
 */
const FARGATE: readonly (readonly [cpu: number, least: number, most: number, step: number])[] = [
  [512, 1024, 4096, 1024],
  [1024, 2048, 8192, 1024],
  [2048, 4096, 16_384, 1024],
  [4096, 8192, 30_720, 1024],
  [8192, 16_384, 61_440, 4096],
  [16_384, 32_768, 122_880, 8192],
];

/** The smallest Fargate size with so many cores and MiB; undefined where there is none. */
export function fargateSize(cores: number, memory: number): { cpu: number; memory: number } | undefined {
  for (const [cpu, least, most, step] of FARGATE)
    if (cpu >= cores * UNITS && memory <= most)
      return { cpu, memory: Math.max(least, Math.ceil(memory / step) * step) };
  return undefined;
}
