import type { ConfigFile } from "#shared/config/config-file.ts";
import { nearest } from "#shared/config/suggest.ts";
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

/** Why there is no such type, and what to write instead. */
export interface NoInstanceType {
  readonly kind: "none";
  readonly message: string;
  readonly hint: string;
}

/** What a replica needs; what is not given is not asked for. */
export interface ResourceNeeds {
  /** Cores. */
  readonly cpu?: number | undefined;
  /** MiB. */
  readonly memory?: number | undefined;
  /** GPUs; below 1 for a share of one. */
  readonly gpu?: number | undefined;
  readonly gpuType?: string | undefined;
}

/** A machine that a config file adds (`aws.instance_types`), memory in MiB. */
export interface AddedInstanceType extends Pick<Ec2Type, "ec2" | "vcpu" | "memory" | "gpus" | "gpuType"> {
  readonly name: string;
  readonly gpuMemory?: number | undefined;
  readonly pricePerHour?: number | undefined;
}

/**
 * BentoCloud's sizes (docs/source/scale-with-bentocloud/deployment/configure-deployments.rst at bentoml/BentoML 32230a5).
 * A function of 1,769 MB has one core and at most 10,240 MB, so `cpu.8` is a container.
 */
const CPU_TYPES: readonly CpuInstanceType[] = [
  cpuType("cpu.1", 0.5, 2048, 2048),
  cpuType("cpu.2", 1, 2048, 2048),
  cpuType("cpu.4", 2, 8192, 8192),
  cpuType("cpu.8", 4, 16384, undefined),
];

/** Short names of GPUs, as BentoCloud makes names of instance types of them. */
const GPU_OF: Readonly<Record<string, GpuType>> = {
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

/** BentoML has two names of one card. */
const SAME_GPU: Readonly<Record<string, GpuType>> = { "nvidia-tesla-h100": "nvidia-h100-80gb" };

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

/** EC2's machines under EC2's names. */
const MACHINES = EC2_TYPES.map(
  (type): GpuInstanceType => ({
    kind: "gpu",
    name: type.ec2,
    ...type,
    reservableMemory: reservableMemory(type.memory),
    priced: type.pricePerHour === undefined ? undefined : EC2_PRICES,
  }),
);

/** Of every GPU, the cheapest machine of each count, as `gpu.<GPU>.<count>`. */
const NAMED = Object.entries(GPU_OF).flatMap(([short, gpuType]) => {
  const counts = new Set(MACHINES.flatMap((type) => (type.gpuType === gpuType ? [type.gpus] : [])));
  return [...counts].flatMap((count) => {
    const type = cheapest(MACHINES, gpuType, count);
    return type ? [{ ...type, name: `gpu.${short}.${count}` }] : [];
  });
});

/** The catalogue with what a config file adds. */
export function catalogueOf({ aws }: Pick<ConfigFile, "aws">): Catalogue {
  const mebibytes = (bytes: number) => Math.floor(bytes / 2 ** 20);
  const added = aws?.instance_types?.map(
    ({ name, ec2, vcpu, memory, gpus, gpu_type, gpu_memory, price_per_hour }): AddedInstanceType => ({
      name,
      ec2,
      vcpu,
      memory: mebibytes(memory),
      gpus,
      gpuType: gpu_type,
      gpuMemory: gpu_memory && mebibytes(gpu_memory),
      pricePerHour: price_per_hour,
    }),
  );
  return new Catalogue(added);
}

/** Every instance type there is, and how to find one. */
export class Catalogue {
  /** All that have a name of BentoCloud's kind, or of the config file's. */
  readonly types: readonly InstanceType[];
  /** All machines with GPUs, those that only EC2 has a name for too. */
  readonly machines: readonly GpuInstanceType[];

  /** @param added the config file's own; one with a known name replaces it. */
  constructor(added: readonly AddedInstanceType[] = []) {
    const all = [...CPU_TYPES, ...NAMED, ...added.map(addedType)];
    const byName = new Map<string, InstanceType>(all.map((type) => [type.name, type]));
    this.types = [...byName.values()];
    const named = this.types.filter((type) => type.kind === "gpu");
    this.machines = [...named, ...MACHINES.filter(({ ec2 }) => !named.some((type) => type.ec2 === ec2))];
  }

  /** By its name, or by EC2's: `gpu.l4.1`, `g6.2xlarge`. */
  find(name: string): InstanceType | NoInstanceType {
    const found = this.types.find((type) => type.name === name) ?? this.machines.find(({ ec2 }) => ec2 === name);
    return found ?? this.#unknown(name);
  }

  /** The cheapest with exactly so many GPUs of a type, in BentoML's words: `nvidia-l4`. */
  withGpus(gpuType: string, count: number): GpuInstanceType | NoInstanceType {
    const wanted = SAME_GPU[gpuType] ?? gpuType;
    return cheapest(this.machines, wanted, count) ?? this.#notSold(wanted, count, `${count} ${gpuType}`);
  }

  /**
   * The smallest that has what a replica needs, as BentoCloud picks one where `instance_type` is not given. With GPUs,
   * the smallest is the cheapest; it may have more GPUs than one replica needs.
   */
  infer({ cpu = 0, memory = 0, gpu = 0, gpuType }: ResourceNeeds): InstanceType | NoInstanceType {
    const gpus = Math.ceil(gpuType === undefined ? gpu : Math.max(gpu, 1));
    const wanted = gpuType && (SAME_GPU[gpuType] ?? gpuType);
    const candidates: readonly InstanceType[] =
      gpus === 0
        ? this.types.filter((type) => type.kind === "cpu")
        : this.machines.filter((type) => wanted === undefined || type.gpuType === wanted).toSorted(byPrice);
    if (candidates.length === 0) return this.#notSold(wanted ?? "", gpus, wanted ?? "");
    const fits = candidates.find(
      (type) => type.vcpu >= cpu && memoryOf(type) >= memory && (type.kind === "cpu" || type.gpus >= gpus),
    );
    if (fits) return fits;
    const asked = [
      gpus > 0 && `${gpus} ${wanted ?? "GPU"}`,
      cpu > 0 && `${cpu} cores`,
      memory > 0 && `${memory} MiB`,
    ].filter(Boolean);
    const [largest] = candidates.toSorted((one, other) => other.vcpu - one.vcpu || memoryOf(other) - memoryOf(one));
    return {
      kind: "none",
      message: `no instance type has ${listText(asked)}`,
      hint: largest ? `the largest is ${largest.name}: ${sizeText(largest)}` : "ask for less",
    };
  }

  #unknown(name: string): NoInstanceType {
    const [, short = "", count] = /^gpu\.(.+)\.(\d+)$/.exec(name) ?? [];
    const gpuType = Object.hasOwn(GPU_OF, short) ? GPU_OF[short] : undefined;
    if (gpuType !== undefined) return this.#notSold(gpuType, Number(count), name);
    const near = nearest(name, [...this.types.map((type) => type.name), ...this.machines.map(({ ec2 }) => ec2)]);
    const cpus = this.types.flatMap((type) => (type.kind === "cpu" ? [type.name] : []));
    const others = name.startsWith("cpu.")
      ? `there are ${listText(cpus)}`
      : `${this.#singles()}; EC2's own names such as g6.2xlarge will do, too`;
    return { kind: "none", message: "no such instance type", hint: `${near ? `did you mean ${near}? ` : ""}${others}` };
  }

  /** A count that AWS does not sell a GPU by, or a GPU that it does not sell. */
  #notSold(gpuType: string, count: number, asked: string): NoInstanceType {
    const counts = [...new Set(this.machines.flatMap((type) => (type.gpuType === gpuType ? [type.gpus] : [])))];
    const others = this.#singles();
    if (counts.length === 0)
      return {
        kind: "none",
        message: `${asked}: no machine of AWS's has it`,
        hint: `${others}; or add one to aws.instance_types`,
      };
    const sold = counts.toSorted((one, other) => one - other);
    const names = sold.map((size) => cheapest(this.machines, gpuType, size)?.name);
    const message = `${asked}: AWS sells ${gpuType} by ${listText(sold)} a machine`;
    return {
      kind: "none",
      message,
      hint: count === 1 ? `${others}; or take ${names[0]}` : `take ${listText(names, "or")}`,
    };
  }

  #singles(): string {
    const singles = this.types.filter((type) => type.kind === "gpu" && type.gpus === 1);
    return `types with one GPU are ${listText(singles.map(({ name }) => name))}`;
  }
}

function cpuType(name: string, vcpu: number, memory: number, functionMemory: number | undefined): CpuInstanceType {
  return { kind: "cpu", name, vcpu, memory, functionMemory, container: { cpu: vcpu * 1024, memory } };
}

function addedType({ name, ...machine }: AddedInstanceType): GpuInstanceType {
  const known = MACHINES.find(({ ec2 }) => ec2 === machine.ec2);
  const { gpuMemory = known?.gpuMemory, pricePerHour } = machine;
  return {
    kind: "gpu",
    name,
    localStorage: known?.localStorage ?? 0,
    ...machine,
    gpuMemory,
    pricePerHour: pricePerHour ?? known?.pricePerHour,
    priced: pricePerHour === undefined ? known?.priced : "config-file.yaml",
    reservableMemory: reservableMemory(machine.memory),
  };
}

/** MiB that a replica of a type may have. */
function memoryOf(type: InstanceType): number {
  return type.kind === "gpu" ? type.reservableMemory : type.memory;
}

function sizeText(type: InstanceType): string {
  const gpus = type.kind === "gpu" ? `${type.gpus} ${type.gpuType}, ` : "";
  return `${gpus}${type.vcpu} cores, ${memoryOf(type)} MiB`;
}

function cheapest(types: readonly GpuInstanceType[], gpuType: string, count: number): GpuInstanceType | undefined {
  return types.filter((type) => type.gpuType === gpuType && type.gpus === count).toSorted(byPrice)[0];
}

/** The cheapest first; those without a price last. */
function byPrice(one: GpuInstanceType, other: GpuInstanceType): number {
  const [price, others] = [one.pricePerHour ?? Infinity, other.pricePerHour ?? Infinity];
  return price === others ? 0 : price - others;
}

function listText(items: readonly unknown[], word = "and"): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;
}
