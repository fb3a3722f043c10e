import { EC2_PRICES, EC2_TYPES, type Ec2Type, type GpuType } from "./ec2-types.ts";

export type InstanceType = CpuInstanceType | GpuInstanceType;

/** A size for services without a GPU, as BentoCloud has them. */
export interface CpuInstanceType {
  readonly kind: "cpu";
  readonly name: string;
  /** Cores: half of one in `cpu.1`. */
  readonly vcpu: number;
  /** MiB. */
  readonly memory: number;
  /** MB of a function of this size; undefined where it exceeds what a function may have. */
  readonly functionMemory: number | undefined;
  /** Fargate's size for a container: CPU units, 1024 a core, and MiB. */
  readonly container: { readonly cpu: number; readonly memory: number };
}

/** A machine with GPUs. */
export interface GpuInstanceType extends Ec2Type {
  readonly kind: "gpu";
  /** `gpu.l4.1`; EC2's own name where it has no other. */
  readonly name: string;
  /** MiB that tasks of ECS can reserve on it. */
  readonly reservableMemory: number;
  /** Where the price is from: AWS's list of a region and a day, or the config file; undefined without a price. */
  readonly priced: typeof EC2_PRICES | "config-file.yaml" | undefined;
}

/** Set on the instances as `ECS_RESERVED_MEMORY`: MiB that ECS keeps from tasks, for its agent and the system. */
export const ECS_RESERVED_MEMORY = 256;

/**
 * MiB that tasks can reserve. The agent registers what the kernel sees, which is less than what is sold, by an amount that
 * AWS does not publish: 2.5 % on its documents' example, and 7.5 % is what Karpenter subtracts to be safe. Then
 * `ECS_RESERVED_MEMORY` goes off.
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/memory-management.html
 * @see https://karpenter.sh/docs/reference/settings/ (VM_MEMORY_OVERHEAD_PERCENT)
 */
export function reservableMemory(memory: number): number {
  return Math.floor(memory * (1 - 0.075)) - ECS_RESERVED_MEMORY;
}

/**
 * BentoCloud's sizes (docs/source/scale-with-bentocloud/deployment/configure-deployments.rst at bentoml/BentoML 32230a5).
 * A function of 1,769 MB has one core and at most 10,240 MB, so `cpu.8` is a container.
 */
export const CPU_TYPES: readonly CpuInstanceType[] = [
  cpuType("cpu.1", 0.5, 2048, 2048),
  cpuType("cpu.2", 1, 2048, 2048),
  cpuType("cpu.4", 2, 8192, 8192),
  cpuType("cpu.8", 4, 16384, undefined),
];

/** Short names of GPUs, as BentoCloud makes names of instance types of them. */
export const GPU_OF: Readonly<Record<string, GpuType>> = {
  t4: "nvidia-tesla-t4",
  l4: "nvidia-l4",
  a10g: "nvidia-a10g",
  l40s: "nvidia-l40s",
  "rtx-pro-6000": "nvidia-rtx-pro-6000",
  a100: "nvidia-tesla-a100",
  "a100-80gb": "nvidia-a100-80gb",
  h100: "nvidia-h100-80gb",
  h200: "nvidia-h200-141gb",
  b200: "nvidia-b200",
};

/** EC2's machines under EC2's names. */
export const MACHINES = EC2_TYPES.map(
  (type): GpuInstanceType => ({
    kind: "gpu",
    name: type.ec2,
    ...type,
    reservableMemory: reservableMemory(type.memory),
    priced: type.pricePerHour === undefined ? undefined : EC2_PRICES,
  }),
);

/** Of every GPU, the cheapest machine of each count, as `gpu.<GPU>.<count>`. */
export const NAMED = Object.entries(GPU_OF).flatMap(([short, gpuType]) => {
  const counts = new Set(MACHINES.flatMap((type) => (type.gpuType === gpuType ? [type.gpus] : [])));
  return [...counts].flatMap((count) => {
    const type = cheapest(MACHINES, gpuType, count);
    return type ? [{ ...type, name: `gpu.${short}.${count}` }] : [];
  });
});

export function cheapest(
  types: readonly GpuInstanceType[],
  gpuType: string,
  count: number,
): GpuInstanceType | undefined {
  return types.filter((type) => type.gpuType === gpuType && type.gpus === count).toSorted(byPrice)[0];
}

/** The cheapest first; those without a price last. */
export function byPrice(one: GpuInstanceType, other: GpuInstanceType): number {
  const [price, others] = [one.pricePerHour ?? Infinity, other.pricePerHour ?? Infinity];
  return price === others ? 0 : price - others;
}

function cpuType(name: string, vcpu: number, memory: number, functionMemory: number | undefined): CpuInstanceType {
  return { kind: "cpu", name, vcpu, memory, functionMemory, container: { cpu: vcpu * 1024, memory } };
}
