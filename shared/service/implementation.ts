import { type Client, clientOf } from "./client.ts";
import type { Service } from "./contract.ts";
import { type Discovery, defaultDiscovery } from "./discovery.ts";

export interface DependsOptions {
  /** Base URL of something already running, instead of what discovery says. */
  url?: string;
  /** What runs there: a Tandem service (`http`, the default), or one that BentoML serves. */
  transport?: "http" | "bentoml";
}

/** Hooks that an implementation may have beside its apis. */
export interface Lifecycle {
  /** Runs in every worker before it is ready: load weights, open connections. */
  onStart?(): Promise<void> | void;
  /** Runs once the worker has answered its last call. */
  onStop?(): Promise<void> | void;
  /** Whether calls may come; `/readyz` answers 503 while it says no. */
  isReady?(): Promise<boolean> | boolean;
  /** Whether the worker is healthy; `/livez` answers 503 when it says no. */
  isLive?(): Promise<boolean> | boolean;
  /**
   * Calls of its queue that the worker has a use for at once, asked when it has started; its share of
   * `traffic.concurrency` at most. The rest stays in the queue, where other workers can take it.
   */
  queuePlaces?(): number;
}

/** What every implementation inherits. */
export interface Implementation<S extends Service> {
  /**
   * A client of a service that the contract lists as a dependency. It never tells where the callee runs: discovery
   * decides (`TANDEM_SERVICES`, else this process).
   */
  depends<T extends S["dependencies"][number]>(service: T, options?: DependsOptions): Client<T>;
}

let constructing: Discovery | undefined;

/** Runs `create` so that the `depends()` of what it constructs ask `discovery`. */
export function constructWith<T>(discovery: Discovery, create: () => T): T {
  const before = constructing;
  constructing = discovery;
  try {
    return create();
  } finally {
    constructing = before;
  }
}

/**
 * The base class of a contract's implementation.
 * @example
 * class EntryImpl extends implement(Entry) implements Apis<typeof Entry> {
 *   model = this.depends(Model);
 *   async run(input: Input<typeof Entry, "run">) { return this.model.predict(input); }
 * }
 */
export function implement<S extends Service>(service: S): new () => Implementation<S> {
  return class implements Pick<Implementation<S>, "depends"> {
    readonly #discovery = constructing ?? defaultDiscovery();

    depends<T extends S["dependencies"][number]>(dependency: T, options: DependsOptions = {}): Client<T> {
      if (!service.dependencies.some(({ name }) => name === dependency.name))
        throw new TypeError(`${service.name} depends on ${dependency.name}: add it to the contract's dependencies`);
      const { url, transport = "http" } = options;
      const location = url === undefined ? undefined : { transport, url };
      // So that readiness, too, asks the one that is called.
      if (location) this.#discovery.locate(dependency, location);
      return clientOf(dependency, () => this.#discovery.transportOf(dependency, location));
    }
  };
}
