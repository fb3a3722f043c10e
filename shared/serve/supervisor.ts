import cluster, { type Worker } from "node:cluster";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AggregatorRegistry } from "prom-client";
import { log } from "../observability/log.ts";
import { dependencyOrder } from "../service/contract.ts";
import { HttpTransport } from "../transport/http-client.ts";
import { type Location, type Locations, locationsFromEnvironment } from "../transport/location.ts";
import type { Project } from "./project.ts";
import { afterDeath, FUTILE_STARTS } from "./restart-delay.ts";
import type { ServedQueues } from "./served-queues.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./worker-messages.ts";

export interface SuperviseOptions {
  configFile: string | undefined;
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** Most processes a service; as many as its `workers` when left out. */
  workers?: number | undefined;
  graceSeconds?: number;
  /** The services' queues, which the supervisor stops when everything else has stopped; without them, all calls are HTTP. */
  queues?: ServedQueues | undefined;
  /** Whether the entry runs here, too; true when left out. */
  entry?: boolean | undefined;
  /** `sqs`: dependencies are called through their queues; `auto`, the default: those with an `external_queue` are. */
  transport?: "auto" | "http" | "sqs" | undefined;
}

const PROBE_MS = 2_000;

/**
 * Runs a whole project on this machine: a process a worker of each service. The entry listens on a port, its
 * dependencies on sockets in a private folder. A worker that dies is started again, with back-off. Node's cluster module
 * keeps a service's listening socket while one of its workers is away.
 */
export class Supervisor {
  readonly #project: Project;
  readonly #options: SuperviseOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "tandem-"));
  readonly #workers = new Map<string, Set<Worker>>();
  readonly #metrics = new AggregatorRegistry();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #started = new Set<string>();
  readonly #entryUrl = Promise.withResolvers<string>();
  readonly #failed = Promise.withResolvers<never>();
  #stopping = false;
  #stopped: Promise<void> | undefined;

  constructor(project: Project, options: SuperviseOptions) {
    this.#project = project;
    this.#options = options;
    // Nobody may be waiting for readiness when it fails.
    this.#failed.promise.catch(() => undefined);
    cluster.setupPrimary({ exec: fileURLToPath(new URL("./worker.ts", import.meta.url)), args: [], silent: false });
    for (const { service } of options.entry === false ? project.deployables.slice(0, -1) : project.deployables) {
      this.#workers.set(service.name, new Set());
      const workers = Math.min(service.workers, options.workers ?? service.workers);
      for (let index = 0; index < workers; index++) this.#start(service.name, 0);
    }
  }

  /**
   * Waits until the entry and everything behind it takes calls; gives the entry's URL.
   * @throws Error when that takes longer than `seconds`, or a worker cannot start at all.
   */
  ready(seconds = 120): Promise<string> {
    return this.#within(seconds, this.#allReady());
  }

  /** As {@link ready}, for the entry's dependencies, where the entry runs elsewhere. */
  async dependenciesReady(seconds = 120): Promise<void> {
    const names = this.#project.deployables.slice(0, -1).map(({ service }) => service.name);
    const probes = names.map((name) => this.#probe(`unix:${this.#socket(name)}`));
    await this.#within(seconds, Promise.all([this.#options.queues?.ready(), ...probes]));
  }

  async #within<T>(seconds: number, ready: Promise<T>): Promise<T> {
    const expiry = setTimeout(() => this.#failed.reject(new Error(`not ready within ${seconds} s`)), seconds * 1000);
    try {
      return await Promise.race([ready, this.#failed.promise]);
    } finally {
      clearTimeout(expiry);
    }
  }

  async #allReady(): Promise<string> {
    const queued = this.#project.deployables.filter(({ service: { name } }) => this.#isQueued(name));
    const [url] = await Promise.all([
      this.#entryUrl.promise.then((entry) => this.#probe(entry)),
      this.#options.queues?.ready(),
      // Their callers see a queue, which takes calls before anybody is there to work on them.
      ...queued.map(({ service: { name } }) => this.#probe(`unix:${this.#socket(name)}`)),
    ]);
    return url;
  }

  async #probe(url: string): Promise<string> {
    const transport = new HttpTransport(url);
    while (!this.#stopping && !(await transport.ready(AbortSignal.timeout(PROBE_MS)))) await delay(50);
    await transport.close();
    return url;
  }

  /** Process ids of a service's workers. */
  pids(service: string): number[] {
    return [...(this.#workers.get(service) ?? [])].flatMap(({ process }) => process.pid ?? []);
  }

  /** Stops the entry first, then what it depends on; each finishes its calls within the grace time. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const grace = this.#options.graceSeconds ?? 30;
    for (const { name } of dependencyOrder(this.#project.entry.service).reverse()) {
      const gone = [...(this.#workers.get(name) ?? [])].map((worker) => {
        const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
        if (worker.isConnected()) worker.send({ type: "stop" } satisfies ToWorker);
        const timer = setTimeout(() => worker.process.kill("SIGKILL"), (grace + 5) * 1000);
        return exited.finally(() => clearTimeout(timer));
      });
      await Promise.all(gone);
    }
    await this.#options.queues?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #start(name: string, deaths: number): void {
    const { entry } = this.#project;
    const isEntry = name === entry.service.name;
    const settings: WorkerSettings = {
      folder: this.#project.folder,
      configFile: this.#options.configFile,
      service: name,
      listen: isEntry ? { host: this.#options.host, port: this.#options.port } : { path: this.#socket(name) },
      locations: this.locations,
      queues: this.#options.queues?.places,
      graceSeconds: this.#options.graceSeconds ?? 30,
    };
    const environment = {
      ...process.env,
      ...this.#options.queues?.environment,
      ...this.#project.environmentOf(name),
      // Compiled once, workers start in less time and memory. This is where Node keeps what the command compiled.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "node-compile-cache"),
      TANDEM_WORKER: JSON.stringify(settings),
    };
    const worker = cluster.fork(environment);
    const started = performance.now();
    this.#workers.get(name)!.add(worker);
    worker.on("message", (message: FromWorker) => {
      if (message.type === "started") {
        this.#started.add(name);
        if (isEntry) this.#entryUrl.resolve(message.url);
      }
      if (message.type === "metrics") void this.#answerMetrics(worker, message.id);
    });
    worker.once("exit", (code, signal) => {
      this.#workers.get(name)!.delete(worker);
      if (this.#stopping) return;
      const { deaths: failures, wait } = afterDeath(deaths, started);
      if (failures >= FUTILE_STARTS && !this.#started.has(name))
        this.#failed.reject(new Error(`${name} cannot start: its log says why`));
      log.error(
        { service: name, pid: worker.process.pid, code, signal, wait },
        `a worker of ${name} died; it starts again`,
      );
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#start(name, failures);
      }, wait);
      this.#timers.add(timer);
    });
  }

  /** Where the entry's dependencies are. */
  get locations(): Locations {
    const here = this.#project.deployables.slice(0, -1).map(({ service: { name } }) => [name, this.#location(name)]);
    return { ...Object.fromEntries(here), ...locationsFromEnvironment() };
  }

  #location(name: string): Location {
    if (!this.#isQueued(name)) return { transport: "http", url: `unix:${this.#socket(name)}` };
    const { services, storeUrl } = this.#options.queues!.places;
    const { url, priorityUrl } = services[name]!;
    return { transport: "sqs", queueUrl: url, priorityQueueUrl: priorityUrl, storeUrl };
  }

  /** Whether others call a service through its queue. */
  #isQueued(name: string): boolean {
    const { queues, transport = "auto" } = this.#options;
    if (!queues || name === this.#project.entry.service.name) return false;
    return transport === "sqs" || (transport === "auto" && this.#project.externalQueues.has(name));
  }

  #socket(name: string): string {
    return join(this.#folder, `${name}.sock`);
  }

  async #answerMetrics(worker: Worker, id: number): Promise<void> {
    try {
      const text = await this.#metrics.clusterMetrics();
      if (worker.isConnected()) worker.send({ type: "metrics", id, text } satisfies ToWorker);
    } catch (err) {
      log.error({ err }, "metrics could not be gathered");
    }
  }
}
