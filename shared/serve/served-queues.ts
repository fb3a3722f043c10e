import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { log } from "../observability/log.ts";
import { emulatorOnly, forWorkers } from "./emulator-credentials.ts";
import type { FromQueueProcess, QueueProcessSettings, ToQueueProcess } from "./queue-messages.ts";
import { embeddedPlaces, type QueuePlaces } from "./queue-places.ts";
import { afterDeath, FUTILE_STARTS } from "./restart-delay.ts";

export interface ServedQueuesOptions {
  projectFolder: string;
  /** Names of the services that get queues. */
  services: readonly string[];
  /** Services whose dead letters are answered elsewhere. */
  answeredElsewhere?: readonly string[] | undefined;
  /** Where queue and store are kept; `.tandem` in the project when left out. */
  data?: string | undefined;
  /** Share of messages delivered twice, 0 to 1, by the embedded queue; 0.02 when left out. */
  redeliver?: number | undefined;
  /** Seconds that a received message stays hidden from others; 30 when left out. */
  visibilityTimeout?: number | undefined;
  /** Deliveries after which a message is given up; 3 when left out. */
  maxReceiveCount?: number | undefined;
}

const REDELIVER = 0.02;
const VISIBILITY_SECONDS = 30;
const MAX_RECEIVE_COUNT = 3;
const STOP_MS = 5_000;

/** The folder of a project's queue and store. */
export function dataFolder({ projectFolder, data }: Pick<ServedQueuesOptions, "projectFolder" | "data">): string {
  return resolve(data ?? join(projectFolder, ".tandem"));
}

/**
 * The queues and the store of a served project: an emulator in a process of its own, started again when it dies, or the
 * server that `AWS_ENDPOINT_URL_SQS` names.
 */
export class ServedQueues {
  readonly #settings: QueueProcessSettings;
  readonly #ready = Promise.withResolvers<QueuePlaces>();
  #places: QueuePlaces | undefined;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #started = false;
  #stopping = false;

  private constructor(settings: QueueProcessSettings) {
    this.#settings = settings;
    this.#places = settings.embedded;
    // Nobody may be waiting when it fails.
    this.#ready.promise.catch(() => undefined);
    this.#start(0);
  }

  /**
   * Starts the queues. An emulator gets ready meanwhile: where everything will be is known at once.
   * @throws Error where the user's own server refuses or cannot be reached.
   */
  static async start(options: ServedQueuesOptions): Promise<ServedQueues> {
    const { projectFolder, services } = options;
    const folder = dataFolder(options);
    const embedded = process.env.AWS_ENDPOINT_URL_SQS ? undefined : embeddedPlaces(await freePort(), services, folder);
    const queues = new ServedQueues({
      folder,
      embedded,
      projectFolder,
      services,
      answeredElsewhere: options.answeredElsewhere ?? [],
      visibilityTimeout: options.visibilityTimeout ?? VISIBILITY_SECONDS,
      maxReceiveCount: options.maxReceiveCount ?? MAX_RECEIVE_COUNT,
      redeliver: embedded ? (options.redeliver ?? REDELIVER) : 0,
    });
    if (!embedded) await queues.ready();
    return queues;
  }

  get places(): QueuePlaces {
    return this.#places!;
  }

  /** Share of messages that are delivered twice on purpose. */
  get redeliver(): number {
    return this.#settings.redeliver;
  }

  /** Process id, while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What processes that use the queues need in their environment. */
  get environment(): Record<string, string> {
    const { embedded } = this.#settings;
    return embedded ? forWorkers(embedded.endpoint) : {};
  }

  /** Waits until the queues are there. @throws Error saying why they cannot be. */
  async ready(): Promise<void> {
    await this.#ready.promise;
  }

  /** Ends the emulator; what is queued stays in the data folder. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    if (child.connected) child.send({ type: "stop" } satisfies ToQueueProcess);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
  }

  #start(deaths: number): void {
    const { embedded } = this.#settings;
    const startedAt = performance.now();
    const child = fork(
      fileURLToPath(new URL("./queue-process.ts", import.meta.url)),
      [JSON.stringify(this.#settings)],
      {
        env: {
          ...process.env,
          ...(embedded && emulatorOnly(embedded.endpoint)),
          NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "node-compile-cache"),
        },
      },
    );
    this.#child = child;
    child.on("message", (message: FromQueueProcess) => {
      if (message.type === "failed") {
        log.debug({ pid: child.pid }, message.message);
        return this.#ready.reject(new Error(message.message));
      }
      this.#started = true;
      this.#places = message.places;
      this.#ready.resolve(message.places);
    });
    child.once("exit", (code, signal) => {
      if (this.#stopping || (!this.#started && code !== null)) {
        this.#ready.reject(new Error(`the queue's process ended with ${code}`));
        return;
      }
      const next = afterDeath(deaths, startedAt);
      if (next.deaths >= FUTILE_STARTS) this.#ready.reject(new Error("the queue cannot start: its log says why"));
      log.error({ pid: child.pid, code, signal, wait: next.wait }, "the queue's process died; it starts again");
      this.#timer = setTimeout(() => this.#start(next.deaths), next.wait);
    });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
