import cluster, { type Worker } from "node:cluster";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AggregatorRegistry } from "prom-client";
import { log } from "../observability/log.ts";
import { afterDeath, FUTILE_STARTS } from "./restart-delay.ts";
import type { FromWorker, Health, ToWorker } from "./worker-messages.ts";

export interface WorkerGroupOptions {
  /** What every process runs. */
  script: URL;
  /** Seconds that calls in work get when a worker is told to stop. */
  graceSeconds: number;
  /** Hears of every worker that takes calls, and where. */
  onStarted?: (service: string, url: string) => void;
}

/** A process that is to run, and what has become of it. */
interface Place {
  readonly service: string;
  readonly environment: () => NodeJS.ProcessEnv;
  worker: Worker | undefined;
  /** Whether its worker takes calls. */
  started: boolean;
  /** When it was filled last, by `performance.now()`. */
  filledAt: number;
  /** Deaths in a row. */
  deaths: number;
  timer: NodeJS.Timeout | undefined;
}

/** A worker that takes longer to load its service than this is not alive. */
const LONGEST_START_MS = 15 * 60_000;
/** A worker has this long to say how it is. */
const HEALTH_MS = 5_000;
/** After its grace time a worker has this long to end by itself. */
const KILL_AFTER_MS = 5_000;

/**
 * Keeps worker processes running: one that dies is started again, with back-off. Node's cluster module keeps a service's
 * listening socket while one of its workers is away. A process can have one group.
 */
export class WorkerGroup {
  readonly #options: WorkerGroupOptions;
  readonly #places: Place[] = [];
  readonly #started = new Set<string>();
  readonly #failed = Promise.withResolvers<never>();
  readonly #metrics = new AggregatorRegistry();
  readonly #asked = new Map<number, (health: Health) => void>();
  #questions = 0;
  #stopping = false;

  constructor(options: WorkerGroupOptions) {
    this.#options = options;
    // Nobody may be waiting when it fails.
    this.#failed.promise.catch(() => undefined);
    cluster.setupPrimary({ exec: fileURLToPath(options.script), args: [], silent: false });
  }

  /** Rejects when a service cannot be started at all. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Starts a worker of a service. @param environment its whole environment, asked for at every start. */
  add(service: string, environment: () => NodeJS.ProcessEnv): void {
    const place: Place = {
      service,
      environment,
      worker: undefined,
      started: false,
      filledAt: 0,
      deaths: 0,
      timer: undefined,
    };
    this.#places.push(place);
    this.#fill(place);
  }

  /** Process ids of a service's workers. */
  pids(service: string): number[] {
    return this.#of(service).flatMap(({ worker }) => worker?.process.pid ?? []);
  }

  /**
   * How the workers are: alive if all of them are, ready if one takes calls. One that is still starting is alive for a
   * quarter of an hour, one that died five times in a row is not.
   */
  async health(): Promise<Health> {
    const all = await Promise.all(this.#places.map((place) => this.#healthOf(place)));
    return { live: all.every(({ live }) => live), ready: all.some(({ ready }) => ready) };
  }

  /** Metrics of all workers, as Prometheus reads them. */
  metricsText(): Promise<string> {
    return this.#metrics.clusterMetrics();
  }

  /** Stops services one after the other. Workers finish their calls within the grace time, then they are killed. */
  async stop(services: readonly string[]): Promise<void> {
    this.#stopping = true;
    for (const { timer } of this.#places) clearTimeout(timer);
    for (const service of services) await Promise.all(this.#of(service).map((place) => this.#end(place)));
  }

  #of(service: string): Place[] {
    return this.#places.filter((place) => place.service === service);
  }

  async #end({ worker, started }: Place): Promise<void> {
    if (!worker) return;
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    if (started) tell(worker, { type: "stop" });
    // One that still loads its service has no calls, and does not listen yet.
    else worker.process.kill("SIGTERM");
    const limit = this.#options.graceSeconds * 1000 + KILL_AFTER_MS;
    const timer = setTimeout(() => worker.process.kill("SIGKILL"), limit);
    await exited.finally(() => clearTimeout(timer));
  }

  #fill(place: Place): void {
    const { service } = place;
    const worker = cluster.fork({
      // Compiled once, workers start in less time and memory. This is where Node keeps what the command compiled.
      NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache"),
      ...place.environment(),
    });
    place.worker = worker;
    place.filledAt = performance.now();
    worker.on("message", (message: FromWorker) => {
      if (message.type === "started") {
        place.started = true;
        this.#started.add(service);
        this.#options.onStarted?.(service, message.url);
      }
      if (message.type === "metrics") void this.#answerMetrics(worker, message.id);
      if (message.type === "health") this.#asked.get(message.id)?.(message);
    });
    worker.once("exit", (code, signal) => {
      place.worker = undefined;
      place.started = false;
      if (this.#stopping) return;
      const { deaths, wait } = afterDeath(place.deaths, place.filledAt);
      place.deaths = deaths;
      if (deaths >= FUTILE_STARTS && !this.#started.has(service))
        this.#failed.reject(new Error(`${service} cannot start: its log says why`));
      const { pid } = worker.process;
      log.error({ service, pid, code, signal, wait }, `a worker of ${service} died; it starts again`);
      place.timer = setTimeout(() => this.#fill(place), wait);
    });
  }

  async #healthOf({ worker, started, filledAt, deaths }: Place): Promise<Health> {
    if (!worker || !started)
      return { live: deaths < FUTILE_STARTS && performance.now() - filledAt < LONGEST_START_MS, ready: false };
    const id = ++this.#questions;
    const { promise, resolve } = Promise.withResolvers<Health>();
    this.#asked.set(id, resolve);
    const timer = setTimeout(() => resolve({ live: false, ready: false }), HEALTH_MS);
    tell(worker, { type: "health", id });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#asked.delete(id);
    });
  }

  async #answerMetrics(worker: Worker, id: number): Promise<void> {
    try {
      tell(worker, { type: "metrics", id, text: await this.metricsText() });
    } catch (err) {
      log.error({ err }, "metrics could not be gathered");
    }
  }
}

function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message);
}
