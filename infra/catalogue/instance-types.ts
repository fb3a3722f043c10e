import type { ConfigFile } from "#shared/config/config-file.ts";
import { nearest } from "#shared/config/suggest.ts";
import type { Ec2Type, GpuType } from "./ec2-types.ts";
import {
  byPrice,
  CPU_TYPES,
  cheapest,
  GPU_OF,
  type GpuInstanceType,
  type InstanceType,
  MACHINES,
  NAMED,
  reservableMemory,
} from "./named-types.ts";

export type { CpuInstanceType, GpuInstanceType, InstanceType } from "./named-types.ts";

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

/** BentoML has two names of one card. */
const SAME_GPU: Readonly<Record<string, GpuType>> = { "nvidia-tesla-h100": "nvidia-h100-80gb" };

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

function addedType({ name, ...machine }: AddedInstanceType): GpuInstanceType {
  const known = MACHINES.find(({ ec2 }) => ec2 === machine.ec2);
  const { gpuMemory = known?.gpuMemory, pricePerHour } = machine;
  return {
    kind: "gpu",
    name,
    localStorage: known?.localStorage ?? 0,
    ...machine,
    gpuType: SAME_GPU[machine.gpuType] ?? machine.gpuType,
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

function listText(items: readonly unknown[], word = "and"): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} ${word} ${items.at(-1)}`;
}
