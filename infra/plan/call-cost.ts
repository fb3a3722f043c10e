import type { Catalogue } from "../catalogue/instance-types.ts";
import { PRICES } from "../catalogue/prices.ts";
import { secondsPerCall } from "../catalogue/seconds-per-call.ts";
import type { CallCostItem, DeploymentPlan, EdgePlan, FunctionPlan, ServicePlan } from "./deployment-plan.ts";
import { functionsOf } from "./functions-of.ts";

const CALLS = 1000;

/** A message is sent, received and deleted; while it is worked on it is hidden anew before its time is up. */
const REQUESTS_OF_A_MESSAGE = 3;
const HIDDEN_ANEW_AFTER = 1 / 3;

/** Looks for a result before the pauses between them have grown to a second. */
const FIRST_LOOKS = 13;

type GpuPlan = Extract<ServicePlan, { kind: "gpu" | "gpu-function" }>;

/** What a call of the entry leads to, if each service calls every one below it once, one after the other. */
export interface CallWork {
  /** Calls of each service. */
  readonly calls: ReadonlyMap<string, number>;
  /** Seconds of GPU time of a call of each GPU service; undefined where neither the file nor the catalogue knows. */
  readonly gpuSeconds: ReadonlyMap<string, number | undefined>;
}

/** @param given seconds of GPU time by service, where the config file has them. */
export function callWork(
  { entry, services, edges }: Pick<DeploymentPlan, "entry" | "services" | "edges">,
  catalogue: Catalogue,
  given: Readonly<Record<string, number | undefined>>,
): CallWork {
  const calls = new Map(services.map(({ name }) => [name, name === entry.service ? 1 : 0]));
  // Callees stand before callers: from the entry down, every caller is counted before what it calls.
  for (const { name } of services.toReversed())
    for (const { callee } of edges.filter(({ caller }) => caller === name))
      calls.set(callee, (calls.get(callee) ?? 0) + (calls.get(name) ?? 0));
  const gpuSeconds = new Map(
    services.filter(hasGpu).map(({ name, instanceType }): [string, number | undefined] => {
      const type = catalogue.find(instanceType);
      return [name, given[name] ?? (type.kind === "gpu" ? secondsPerCall(type.gpuType) : undefined)];
    }),
  );
  return { calls, gpuSeconds };
}

/** Seconds of GPU time of one call of the entry. */
export function secondsOf({ calls, gpuSeconds }: CallWork): number | undefined {
  return total([...gpuSeconds].map(([name, seconds]) => seconds && seconds * (calls.get(name) ?? 0)));
}

/**
 * What 1,000 calls of the entry cost: GPU time at the price of instances on demand that are never idle, functions that wait
 * for it, and requests of queues and store.
 */
export function callItems(
  { services, edges }: Pick<DeploymentPlan, "services" | "edges">,
  catalogue: Catalogue,
  work: CallWork,
): CallCostItem[] {
  const items = services.flatMap((service): CallCostItem[] => {
    const calls = CALLS * (work.calls.get(service.name) ?? 0);
    if (hasGpu(service)) return [gpuItem(service, calls, work.gpuSeconds.get(service.name), catalogue)];
    return service.kind === "function" ? [waitItem(service, calls, waitsOf(service.name, edges, work))] : [];
  });
  const queued = edges.filter(({ transport, callee }) => transport === "sqs" && work.gpuSeconds.has(callee));
  return queued.length === 0 ? items : [...items, requestsItem(queued, services, work)];
}

function gpuItem(service: GpuPlan, calls: number, seconds: number | undefined, catalogue: Catalogue): CallCostItem {
  const price = gpuSecondPrice(service, catalogue);
  return {
    service: service.name,
    what: seconds === undefined ? "GPU time" : `${seconds} s of GPU time a call`,
    perThousandPictures: seconds === undefined || price === undefined ? undefined : calls * seconds * price,
  };
}

/** US dollars of a second of one worker's GPUs. */
function gpuSecondPrice(service: GpuPlan, catalogue: Catalogue): number | undefined {
  const type = catalogue.find(service.instanceType);
  if (type.kind !== "gpu" || type.pricePerHour === undefined) return undefined;
  const perSecond = type.pricePerHour / 3600;
  if (service.kind === "gpu-function") return perSecond * (1 + PRICES.managedInstances.usd);
  return perSecond / (service.capacity.replicasPerInstance * service.task.workers.length);
}

function waitItem(service: FunctionPlan, calls: number, seconds: number | undefined): CallCostItem {
  // All functions of a service have one size.
  const { memory, architecture } = functionsOf(service)[0]!;
  const perSecond = (memory / 1024) * PRICES.functionDuration[architecture].usd;
  return {
    service: service.name,
    what: `${memory} MB that wait for it`,
    perThousandPictures: seconds === undefined ? undefined : calls * (seconds * perSecond + PRICES.functionRequest.usd),
  };
}

/** Seconds that a call of a service waits for GPUs below it. */
function waitsOf(name: string, edges: readonly EdgePlan[], work: CallWork): number | undefined {
  const callees = edges.filter(({ caller }) => caller === name);
  return total(
    callees.flatMap(({ callee }) => [
      work.gpuSeconds.has(callee) ? work.gpuSeconds.get(callee) : 0,
      waitsOf(callee, edges, work),
    ]),
  );
}

/** The message, the result, progress, and looks for a result and a cancel once a second. */
function requestsItem(queued: readonly EdgePlan[], services: readonly ServicePlan[], work: CallWork): CallCostItem {
  const usd = queued.map(({ caller, callee }) => {
    const seconds = work.gpuSeconds.get(callee);
    if (seconds === undefined) return undefined;
    const visibility = services.find(({ name }) => name === callee)?.queue?.visibilityTimeout ?? 30;
    const requests = REQUESTS_OF_A_MESSAGE + Math.floor(seconds / (visibility * HIDDEN_ANEW_AFTER));
    const writes = 1 + Math.floor(seconds);
    const reads = FIRST_LOOKS + 2 * Math.floor(seconds);
    const each = requests * PRICES.queueRequest.usd + writes * PRICES.storeWrite.usd + reads * PRICES.storeRead.usd;
    return CALLS * (work.calls.get(caller) ?? 0) * each;
  });
  return { service: undefined, what: "requests of SQS and S3", perThousandPictures: total(usd) };
}

/** The sum; undefined if one of them is. */
export function total(amounts: readonly (number | undefined)[]): number | undefined {
  return amounts.reduce((sum, amount) => (sum === undefined || amount === undefined ? undefined : sum + amount), 0);
}

function hasGpu(service: ServicePlan): service is GpuPlan {
  return service.kind === "gpu" || service.kind === "gpu-function";
}
