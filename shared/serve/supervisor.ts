import cluster, { type Worker } from "node:cluster";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AggregatorRegistry } from "prom-client";
import { log } from "../observability/log.ts";
import { dependencyOrder } from "../service/contract.ts";
import type { Locations } from "../service/discovery.ts";
import { HttpTransport } from "../transport/http-client.ts";
import type { Project } from "./project.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./worker-messages.ts";

export interface SuperviseOptions {
  configFile: string | undefined;
  host: string;
  /** 0 picks a free one. */
  port: number;
  graceSeconds?: number;
}

/** A worker that ran this long before it died starts its back-off anew. */
const HEALTHY_SECONDS = 30;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;

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
  #stopping: Promise<void> | undefined;
  #entryUrl = Promise.withResolvers<string>();

  constructor(project: Project, options: SuperviseOptions) {
    this.#project = project;
    this.#options = options;
    cluster.setupPrimary({ exec: fileURLToPath(new URL("./worker.ts", import.meta.url)), args: [], silent: false });
    for (const { service } of project.deployables) {
      this.#workers.set(service.name, new Set());
      for (let index = 0; index < service.workers; index++) this.#start(service.name, 0);
    }
  }

  /**
   * Waits until the entry and everything behind it takes calls; gives the entry's URL.
   * @throws Error when that takes longer than `seconds`, or a worker cannot start at all.
   */
  async ready(seconds = 120): Promise<string> {
    const signal = AbortSignal.timeout(seconds * 1000);
    const url = await Promise.race([
      this.#entryUrl.promise,
      new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    ]);
    const entry = new HttpTransport(url);
    try {
      while (!(await entry.ready(signal))) {
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      await entry.close();
    }
    return url;
  }

  /** Process ids of a service's workers. */
  pids(service: string): number[] {
    return [...(this.#workers.get(service) ?? [])].flatMap(({ process }) => process.pid ?? []);
  }

  /** Stops the entry first, then what it depends on; each finishes its calls within the grace time. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    const grace = this.#options.graceSeconds ?? 30;
    for (const { name } of dependencyOrder(this.#project.entry.service).reverse()) {
      const gone = [...this.#workers.get(name)!].map((worker) => {
        const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
        if (worker.isConnected()) worker.send({ type: "stop" } satisfies ToWorker);
        const timer = setTimeout(() => worker.process.kill("SIGKILL"), (grace + 5) * 1000);
        return exited.finally(() => clearTimeout(timer));
      });
      await Promise.all(gone);
    }
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
      locations: this.#locations(),
      graceSeconds: this.#options.graceSeconds ?? 30,
    };
    const environment = {
      ...process.env,
      ...this.#project.environmentOf(name),
      TANDEM_WORKER: JSON.stringify(settings),
    };
    const worker = cluster.fork(environment);
    const started = performance.now();
    this.#workers.get(name)!.add(worker);
    worker.on("message", (message: FromWorker) => {
      if (message.type === "started" && isEntry) this.#entryUrl.resolve(message.url);
      if (message.type === "metrics") void this.#answerMetrics(worker, message.id);
    });
    worker.once("exit", (code, signal) => {
      this.#workers.get(name)!.delete(worker);
      if (this.#stopping) return;
      const lived = (performance.now() - started) / 1000;
      const failures = lived > HEALTHY_SECONDS ? 1 : deaths + 1;
      const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
      log.error(
        { service: name, pid: worker.process.pid, code, signal, delay },
        `a worker of ${name} died; it starts again`,
      );
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#start(name, failures);
      }, delay);
      this.#timers.add(timer);
    });
  }

  #locations(): Locations {
    const dependencies = this.#project.deployables.slice(0, -1);
    return Object.fromEntries(
      dependencies.map(({ service: { name } }) => [
        name,
        { transport: "http" as const, url: `unix:${this.#socket(name)}` },
      ]),
    );
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
