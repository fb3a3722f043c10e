import type { z } from "zod";
import type { CallContext } from "./context.ts";

/** Adaptive batching: single calls are gathered and run as one, as BentoML's `batchable` does. */
export interface BatchOptions {
  /** Most calls in one batch. Default 100. */
  maxBatchSize?: number;
  /** Milliseconds that a call may spend waiting and running; one that cannot make it is refused with 503. Default 60000. */
  maxLatencyMs?: number;
}

export interface ApiOptions<I extends z.core.$ZodType, O extends z.core.$ZodType> {
  /** Schema of the input: an object whose members are the api's named arguments. */
  input: I;
  /** Schema of the output; of one item, for an api that streams. */
  output: O;
  /** The method is an async generator and its callers get an async iterable. */
  stream?: boolean;
  /** The method receives a list of inputs and returns as many outputs. */
  batchable?: BatchOptions | undefined;
  /** Running it twice does no harm: a call whose connection breaks is sent again. Default false. */
  idempotent?: boolean;
  description?: string;
}

export interface Api<
  I extends z.core.$ZodType = z.core.$ZodType,
  O extends z.core.$ZodType = z.core.$ZodType,
  S extends boolean = boolean,
  B extends BatchOptions | undefined = BatchOptions | undefined,
> {
  readonly input: I;
  readonly output: O;
  readonly stream: S;
  readonly batchable: B;
  /** `batchable` with its defaults. */
  readonly batch: Required<BatchOptions> | undefined;
  readonly idempotent: boolean;
  readonly description: string | undefined;
}

type InputSchema = z.core.$ZodType<object, object>;

/**
 * Declares one api of a service.
 * @throws TypeError for a batch size or latency out of range, and for an api that streams and is batchable.
 */
// Overloads: inside `service({ apis: ... })` type parameters for stream and batchable would be inferred from what
// `service` takes, not from what is written.
export function api<I extends InputSchema, O extends z.core.$ZodType>(
  options: ApiOptions<I, O> & { stream: true; batchable?: undefined },
): Api<I, O, true, undefined>;
export function api<I extends InputSchema, O extends z.core.$ZodType>(
  options: ApiOptions<I, O> & { stream?: false; batchable: BatchOptions },
): Api<I, O, false, BatchOptions>;
export function api<I extends InputSchema, O extends z.core.$ZodType>(
  options: ApiOptions<I, O> & { stream?: false; batchable?: undefined },
): Api<I, O, false, undefined>;
export function api(options: ApiOptions<InputSchema, z.core.$ZodType>): Api {
  const { maxBatchSize = 100, maxLatencyMs = 60_000 } = options.batchable ?? {};
  if (options.batchable && options.stream) throw new TypeError("an api cannot both stream and be batchable");
  if (!(Number.isInteger(maxBatchSize) && maxBatchSize > 1)) throw new TypeError("maxBatchSize must be 2 or more");
  if (!(maxLatencyMs > 0)) throw new TypeError("maxLatencyMs must be over 0");
  return {
    input: options.input,
    output: options.output,
    stream: options.stream ?? false,
    batchable: options.batchable,
    batch: options.batchable && { maxBatchSize, maxLatencyMs },
    idempotent: options.idempotent ?? false,
    description: options.description,
  };
}

export interface Traffic {
  /** Seconds a call may take, its dependencies included. Default 60. */
  timeout?: number;
  /** Calls in work at once over a replica's workers; more are refused with 429. Default 1024. */
  maxConcurrency?: number;
  /** Calls that a replica's workers take from the service's queue at once; the rest wait there, for any replica. Default maxConcurrency. */
  concurrency?: number;
}

export interface Resources {
  cpu?: number | string;
  memory?: string;
  gpu?: number;
  gpuType?: string;
}

export interface ServiceOptions<A extends Record<string, Api>, D extends readonly Service[]> {
  apis: A;
  /** Services that this one calls through `depends()`. */
  dependencies?: D;
  traffic?: Traffic;
  resources?: Resources;
  /** Processes a replica. Default 1. */
  workers?: number;
  description?: string;
}

/** What callers see of a service. Importable everywhere: it carries schemas and numbers, no implementation. */
export interface Service<
  N extends string = string,
  // biome-ignore lint/suspicious/noExplicitAny: the bound must admit every api, whose schemas are invariant
  A extends Record<string, Api<any, any, any, any>> = Record<string, Api<any, any, any, any>>,
  // biome-ignore lint/suspicious/noExplicitAny: a service's dependencies are services in turn
  D extends readonly Service<string, any, any>[] = readonly Service<string, any, any>[],
> {
  readonly name: N;
  readonly apis: A;
  readonly dependencies: D;
  readonly traffic: Required<Traffic>;
  readonly resources: Resources;
  readonly workers: number;
  readonly description: string | undefined;
}

/** Members of an implementation that are not apis; an api of this name would be shadowed. */
export const RESERVED_NAMES = [
  "constructor",
  "depends",
  "onStart",
  "onStop",
  "isReady",
  "isLive",
  "queuePlaces",
  "then",
] as const;

/**
 * Declares a service.
 * @throws TypeError when a name is unusable, a number is out of range, or the dependencies form a cycle.
 * @example
 * export const Upscaler = service("Upscaler", {
 *   apis: { upscale: api({ input: z.object({ image: image() }), output: image() }) },
 * });
 */
export function service<
  const N extends string,
  A extends Record<string, Api>,
  const D extends readonly Service[] = readonly [],
>(name: N, options: ServiceOptions<A, D>): Service<N, A, D> {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,62}$/.test(name))
    throw new TypeError(`service name "${name}" must start with a letter and hold letters, digits, "_" or "-"`);
  for (const api of Object.keys(options.apis)) {
    // What every object has, such as toString, would pass for an implementation.
    const taken = (RESERVED_NAMES as readonly string[]).includes(api) || api in Object.prototype;
    if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(api) || taken)
      throw new TypeError(`${name}: "${api}" cannot be the name of an api`);
  }
  const { timeout = 60, maxConcurrency = 1024, concurrency = maxConcurrency } = options.traffic ?? {};
  const workers = options.workers ?? 1;
  if (!(timeout > 0)) throw new TypeError(`${name}: traffic.timeout must be over 0 seconds`);
  if (!(Number.isInteger(maxConcurrency) && maxConcurrency >= 1))
    throw new TypeError(`${name}: traffic.maxConcurrency must be a whole number from 1`);
  if (!(Number.isInteger(concurrency) && concurrency >= 1))
    throw new TypeError(`${name}: traffic.concurrency must be a whole number from 1`);
  if (!(Number.isInteger(workers) && workers >= 1))
    throw new TypeError(`${name}: workers must be a whole number from 1`);
  const dependencies = (options.dependencies ?? []) as readonly Service[] as D;
  checkAcyclic(name, dependencies);
  return Object.freeze({
    name,
    apis: options.apis,
    dependencies,
    traffic: { timeout, maxConcurrency, concurrency: Math.min(concurrency, maxConcurrency) },
    resources: options.resources ?? {},
    workers,
    description: options.description,
  });
}

/** The same contract under another name, so that one class may be deployed several times. Options given here win. */
export function named<const N extends string, A extends Record<string, Api>, D extends readonly Service[]>(
  name: N,
  base: Service<string, A, D>,
  options: Omit<ServiceOptions<A, D>, "apis" | "dependencies"> = {},
): Service<N, A, D> {
  const { description, ...rest } = base;
  return service<N, A, D>(name, { ...rest, ...(description !== undefined && { description }), ...options });
}

/** Every service that `root` reaches, itself last: a dependency stands before its callers. */
export function dependencyOrder(root: Service): Service[] {
  const order = new Map<string, Service>();
  const visit = (service: Service): void => {
    const known = order.get(service.name);
    if (known && known !== service) throw new TypeError(`two services are named "${service.name}"`);
    if (known) return;
    for (const dependency of service.dependencies) visit(dependency);
    order.set(service.name, service);
  };
  visit(root);
  return [...order.values()];
}

function checkAcyclic(name: string, dependencies: readonly Service[]): void {
  const seen = new Set<Service>();
  const visit = (service: Service | undefined, path: string[]): void => {
    if (!service)
      throw new TypeError(
        `a dependency of ${path.at(-1)} is undefined: two modules import each other, so their services form a cycle`,
      );
    if (service.name === name) throw new TypeError(`services form a cycle: ${[...path, name].join(" -> ")}`);
    // Once is enough, and the paths through many diamonds are too many to walk.
    if (seen.has(service)) return;
    seen.add(service);
    for (const next of service.dependencies) visit(next, [...path, service.name]);
  };
  for (const dependency of dependencies) visit(dependency, [name]);
}

/** What a caller passes to an api. */
export type InputOf<S extends Service, K extends keyof S["apis"]> = z.input<S["apis"][K]["input"]>;
/** What an implementation receives: defaults are filled in. */
export type Input<S extends Service, K extends keyof S["apis"]> = z.output<S["apis"][K]["input"]>;
/** What a caller gets; one item of it, for an api that streams. */
export type Output<S extends Service, K extends keyof S["apis"]> = z.output<S["apis"][K]["output"]>;

type Method<A extends Api> = A["stream"] extends true
  ? (input: z.output<A["input"]>, context: CallContext) => AsyncIterable<z.input<A["output"]>>
  : A["batchable"] extends BatchOptions
    ? (inputs: z.output<A["input"]>[], context: CallContext) => Awaitable<z.input<A["output"]>[]>
    : (input: z.output<A["input"]>, context: CallContext) => Awaitable<z.input<A["output"]>>;

type Awaitable<T> = T | Promise<T>;

/** The methods that an implementation of `S` must have: `class Impl extends implement(S) implements Apis<typeof S>`. */
export type Apis<S extends Service> = { [K in keyof S["apis"]]: Method<S["apis"][K]> };
