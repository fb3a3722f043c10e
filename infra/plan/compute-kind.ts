import type { Catalogue, CpuInstanceType, GpuInstanceType } from "../catalogue/instance-types.ts";
import { type DealtGpus, dealGpus } from "./deal-gpus.ts";
import type { Demand } from "./demand.ts";
import { acceleratorOf, checkWithGpu, checkWithoutGpu } from "./gpu-fields.ts";
import type { PlanReport } from "./plan-report.ts";
import { fargateSize, gpuTaskSize, type TaskSize } from "./task-size.ts";
import { FUNCTION_LIMIT } from "./timeouts.ts";

/** MB of a function that make one core. */
const MB_PER_CORE = 1769;

/** What a service runs on. */
export type Compute = FunctionCompute | ContainerCompute | GpuCompute | GpuFunctionCompute;

export interface FunctionCompute {
  readonly kind: "function";
  readonly instanceType: string;
  /** MB. */
  readonly memory: number;
  /** Workers a replica: calls that it has at once. */
  readonly workers: number;
}

export interface ContainerCompute {
  readonly kind: "container";
  readonly instanceType: string;
  readonly size: { readonly cpu: number; readonly memory: number };
  readonly dealt: DealtGpus;
}

export interface GpuCompute {
  readonly kind: "gpu";
  readonly instanceType: string;
  readonly type: GpuInstanceType;
  /** In the order in which they are tried, `type` first. */
  readonly types: readonly GpuInstanceType[];
  readonly size: TaskSize;
  readonly dealt: DealtGpus;
}

export interface GpuFunctionCompute {
  readonly kind: "gpu-function";
  readonly instanceType: string;
  readonly type: GpuInstanceType;
  /** MB. */
  readonly memory: number;
  /** GiB for each core. */
  readonly memoryPerCore: number;
  /** GiB. */
  readonly acceleratorMemory: number;
}

/** Decides what a service runs on; undefined where that cannot be, which is reported. */
export function computeOf(demand: Demand, catalogue: Catalogue, report: PlanReport): Compute | undefined {
  const { config, cpu, memory, gpuType } = demand;
  const listed = demand.workers.gpus?.reduce<number>((sum, one) => sum + (Array.isArray(one) ? one.length : one), 0);
  const gpus = Math.max(demand.gpus, listed ?? 0);
  const wantsGpu = gpus > 0 || gpuType !== undefined;
  const given = config.instance_type;
  const type = given === undefined ? catalogue.infer({ cpu, memory, gpu: gpus, gpuType }) : catalogue.find(given);
  if (type.kind === "none") {
    const field = gpuType === undefined ? demand.override("resources") : demand.override("resources", "gpu_type");
    report.error(given === undefined ? field : demand.at("instance_type"), type.message, type.hint);
    return undefined;
  }
  if (type.kind === "gpu") return onGpu(demand, type, catalogue, report);
  checkWithoutGpu(demand, report);
  if (wantsGpu) {
    const wanted = catalogue.infer({ cpu, memory, gpu: Math.max(1, gpus), gpuType });
    report.error(
      demand.at("instance_type"),
      `${demand.name} wants ${gpuType ?? `${gpus} GPU${gpus === 1 ? "" : "s"}`}, and ${type.name} has no GPU`,
      wanted.kind === "gpu" ? `take ${wanted.name}` : "take an instance_type such as gpu.l4.1",
    );
    return undefined;
  }
  return onCpu(demand, type, catalogue, report);
}

function onCpu(
  demand: Demand,
  type: CpuInstanceType,
  catalogue: Catalogue,
  report: PlanReport,
): FunctionCompute | ContainerCompute | undefined {
  const { name, isEntry, cpu, memory, timeout } = demand;
  const asFunction = type.functionMemory !== undefined && timeout <= FUNCTION_LIMIT;
  const cores = asFunction ? type.functionMemory / MB_PER_CORE : type.vcpu;
  const tooSmall = (field: string, message: string): void => {
    const better = catalogue.infer({ cpu, memory });
    report.error(
      demand.override("resources", field),
      message,
      better.kind === "none" ? better.hint : `take ${better.name}`,
    );
  };
  if (cpu !== undefined && cpu > cores)
    tooSmall("cpu", `${name} wants ${cpu} cores, and ${type.name} has ${Math.floor(cores * 100) / 100}`);
  if (memory !== undefined && memory > type.memory)
    tooSmall("memory", `${name} wants ${memory} MiB, and ${type.name} has ${type.memory}`);
  const { count } = demand.workers;
  if (asFunction) {
    const workers = count === "cpu_count" ? Math.max(1, Math.floor(cores)) : count;
    return { kind: "function", instanceType: type.name, memory: type.functionMemory, workers };
  }
  if (isEntry) {
    const [field, why, hint] =
      type.functionMemory === undefined
        ? [demand.at("instance_type"), `${type.name} is over a function's 10,240 MB`, "take cpu.4 or less"]
        : [
            demand.override("traffic", "timeout"),
            `its timeout of ${timeout} s is over the ${FUNCTION_LIMIT} s of a function`,
            `write ${FUNCTION_LIMIT} or less, and have what takes longer submitted as tasks`,
          ];
    report.error(
      field,
      `${name} is the entry and must be a function: ${why}`,
      `${hint}; or move the work to a service that the entry calls`,
    );
    return undefined;
  }
  const size = fargateSize(Math.max(type.container.cpu / 1024, cpu ?? 0), Math.max(type.container.memory, memory ?? 0));
  if (!size) return undefined;
  const processes = count === "cpu_count" ? Math.max(1, Math.floor(size.cpu / 1024)) : count;
  const workers = Array.from({ length: processes }, () => ({ gpus: [] }));
  return { kind: "container", instanceType: type.name, size, dealt: { gpus: 0, workers } };
}

function onGpu(
  demand: Demand,
  type: GpuInstanceType,
  catalogue: Catalogue,
  report: PlanReport,
): GpuCompute | GpuFunctionCompute | undefined {
  const { name, isEntry, config } = demand;
  if (isEntry) {
    report.error(
      demand.at("instance_type"),
      `${name} is the entry and must be a function: ${type.name} is a GPU instance`,
      "put a service in front of it that calls it with depends(), and name that one in bentofile.yaml",
    );
    return undefined;
  }
  const { count } = demand.workers;
  const asked = demand.gpus > 0 ? demand.gpus : Math.min(type.gpus, typeof count === "number" ? count : 1);
  const wanting: Demand = { ...demand, gpus: asked };
  if (demand.gpuType !== undefined && demand.gpuType !== type.gpuType && config.instance_type !== undefined)
    report.warn(
      demand.at("instance_type"),
      `${name} asks for ${demand.gpuType}, and ${type.name} has ${type.gpuType}`,
      "leave one of the two out",
    );
  const dealt = dealGpus(wanting, report);
  if (config.aws?.backend === "lambda") return acceleratorOf(wanting, type, dealt, report);
  const fallbacks = (config.aws?.fallback_instance_types ?? []).flatMap((other, index) =>
    fallbackOf(wanting, other, index, dealt, catalogue, report),
  );
  const types = [type, ...fallbacks] as const;
  const size = gpuTaskSize(wanting, types, dealt, catalogue, report);
  checkWithGpu(demand, report);
  return { kind: "gpu", instanceType: type.name, type, types, size, dealt };
}

function fallbackOf(
  demand: Demand,
  name: string,
  index: number,
  { gpus }: DealtGpus,
  catalogue: Catalogue,
  report: PlanReport,
): GpuInstanceType[] {
  const { cpu = 0, memory = 0 } = demand;
  const field = demand.at("aws", "fallback_instance_types", index);
  const type = catalogue.find(name);
  if (type.kind === "none") report.error(field, type.message, type.hint);
  else if (type.kind === "cpu") report.error(field, `${name} has no GPU`, "take a type such as gpu.a10g.1");
  else if (type.gpus < gpus || type.vcpu < cpu || type.reservableMemory < memory)
    report.error(
      field,
      `${name} is too small for a replica of ${demand.name}: it has ${type.gpus} GPU${type.gpus === 1 ? "" : "s"}, ${type.vcpu} cores and ${type.reservableMemory} MiB for tasks`,
      "take a larger one, or leave it out",
    );
  else return [type];
  return [];
}
