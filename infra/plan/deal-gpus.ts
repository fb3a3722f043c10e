import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

/** What each worker process of a replica gets. */
export interface DealtGpus {
  /** Whole GPUs that the replica reserves. */
  readonly gpus: number;
  /** One item a worker: the numbers, within the replica, of its GPUs. */
  readonly workers: readonly { readonly gpus: readonly number[] }[];
}

/**
 * Deals a replica's GPUs out to its workers: as the file's list of workers says, else evenly. Several workers share a GPU
 * where there are more workers than GPUs; ECS gives a task whole GPUs only, so a part of one becomes one.
 */
export function dealGpus(demand: Demand, report: PlanReport): DealtGpus {
  const { workers } = demand;
  if (workers.gpus?.some((one) => (Array.isArray(one) ? one.length : one) > 0))
    return asListed(workers.gpus, demand, report);
  if (demand.gpus > 0 && demand.gpus < 1) {
    const hint = `with workers: ${Math.floor(1 / demand.gpus)} and gpu: 1 so many processes share it`;
    report.warn(
      demand.override("resources", "gpu"),
      `ECS gives out whole GPUs: each replica of ${demand.name} gets one for its ${demand.gpus}`,
      hint,
    );
  }
  const gpus = Math.ceil(demand.gpus);
  const count = typeof workers.count === "number" ? workers.count : 1;
  if (gpus === 0) return { gpus, workers: Array.from({ length: count }, () => ({ gpus: [] })) };
  if (count > gpus && demand.config.config_overrides?.workers !== undefined)
    report.warn(
      demand.override("workers"),
      `${count} workers share ${gpus === 1 ? "one GPU" : `${gpus} GPUs`}: each loads the model into its memory`,
      `resources.gpu: ${count} gives each a GPU of its own`,
    );
  if (count < gpus && gpus % count !== 0)
    report.error(
      demand.override("resources", "gpu"),
      `${gpus} GPUs cannot be dealt out evenly to ${count} workers`,
      "write workers as a list, as in - gpus: 1",
    );
  const each = Math.max(1, Math.floor(gpus / count));
  return {
    gpus,
    workers: Array.from({ length: count }, (_, worker) => ({
      gpus: Array.from({ length: each }, (_, index) => (worker * each + index) % gpus),
    })),
  };
}

/** The list form: how many GPUs each worker has, which come after those that others name, or which. */
function asListed(list: readonly (number | number[])[], demand: Demand, report: PlanReport): DealtGpus {
  const named = new Set(list.flatMap((one) => (Array.isArray(one) ? one : [])));
  let next = 0;
  const take = (): number => {
    while (named.has(next)) next++;
    return next++;
  };
  const workers = list.map((one) => ({ gpus: Array.isArray(one) ? one : Array.from({ length: one }, take) }));
  const used = new Set(workers.flatMap(({ gpus }) => gpus));
  const highest = Math.max(...used);
  if (highest >= used.size)
    report.error(
      demand.override("workers"),
      `GPU ${highest} is named, and ${demand.name} would use ${used.size}`,
      `number them from 0 to ${used.size - 1}`,
    );
  const asked = demand.config.config_overrides?.resources?.gpu;
  if (asked !== undefined && asked > used.size)
    report.warn(
      demand.override("resources", "gpu"),
      `${Math.ceil(asked)} GPUs are asked for, and the workers are dealt ${used.size}`,
      `write gpu: ${used.size}, or give the workers the rest`,
    );
  return { gpus: Math.max(used.size, Math.ceil(asked ?? 0)), workers };
}
