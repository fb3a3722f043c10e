import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { dependencyOrder } from "../service/contract.ts";
import { HttpTransport } from "../transport/http-client.ts";
import { type Location, type Locations, locationsFromEnvironment } from "../transport/location.ts";
import type { Project } from "./project.ts";
import { queueOf } from "./queue-places.ts";
import type { ServedQueues } from "./served-queues.ts";
import { WorkerGroup } from "./worker-group.ts";
import type { WorkerSettings } from "./worker-messages.ts";

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
 * dependencies on sockets in a private folder. A worker that dies is started again.
 */
export class Supervisor {
  readonly #project: Project;
  readonly #options: SuperviseOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "tandem-"));
  readonly #workers: WorkerGroup;
  readonly #entryUrl = Promise.withResolvers<string>();
  #stopping = false;
  #stopped: Promise<void> | undefined;

  constructor(project: Project, options: SuperviseOptions) {
    this.#project = project;
    this.#options = options;
    this.#workers = new WorkerGroup({
      script: new URL("./worker.ts", import.meta.url),
      graceSeconds: this.#graceSeconds,
      onStarted: (name, url) => {
        if (name === project.entry.service.name) this.#entryUrl.resolve(url);
      },
    });
    for (const { service } of options.entry === false ? project.deployables.slice(0, -1) : project.deployables) {
      const workers = Math.min(service.workers, options.workers ?? service.workers);
      for (let index = 0; index < workers; index++)
        this.#workers.add(service.name, () => this.#environmentOf(service.name));
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
    const late = Promise.withResolvers<never>();
    const expiry = setTimeout(() => late.reject(new Error(`not ready within ${seconds} s`)), seconds * 1000);
    try {
      return await Promise.race([ready, this.#workers.failed, late.promise]);
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
    return this.#workers.pids(service);
  }

  /** Stops the entry first, then what it depends on; each finishes its calls within the grace time. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    this.#stopping = true;
    const fromTheEntry = dependencyOrder(this.#project.entry.service).reverse();
    await this.#workers.stop(fromTheEntry.map(({ name }) => name));
    await this.#options.queues?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #environmentOf(name: string): NodeJS.ProcessEnv {
    const { host, port, queues, configFile } = this.#options;
    const settings: WorkerSettings = {
      folder: this.#project.folder,
      configFile,
      service: name,
      listen: name === this.#project.entry.service.name ? { host, port } : { path: this.#socket(name) },
      locations: this.locations,
      queue: queues && queueOf(queues.places, name),
      graceSeconds: this.#graceSeconds,
    };
    return {
      ...process.env,
      ...queues?.environment,
      ...this.#project.environmentOf(name),
      TANDEM_WORKER: JSON.stringify(settings),
    };
  }

  get #graceSeconds(): number {
    return this.#options.graceSeconds ?? 30;
  }

  /** Where the entry's dependencies are. */
  get locations(): Locations {
    const here = this.#project.deployables.slice(0, -1).map(({ service: { name } }) => [name, this.#location(name)]);
    return { ...Object.fromEntries(here), ...locationsFromEnvironment() };
  }

  #location(name: string): Location {
    if (!this.#isQueued(name)) return { transport: "http", url: `unix:${this.#socket(name)}` };
    return queueOf(this.#options.queues!.places, name);
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
}
