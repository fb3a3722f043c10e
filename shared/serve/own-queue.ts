import { setTimeout as delay } from "node:timers/promises";
import { lazyQueue } from "../delivery/lazy-queue.ts";
import type { QueueSettings } from "../delivery/message-queue.ts";
import { placesOf, type RunningConsumer, startConsumer, startReporter } from "../delivery/start-consumer.ts";
import type { WorkerReporter } from "../delivery/worker-report.ts";
import type { AppOptions } from "../http/app.ts";
import { log } from "../observability/log.ts";
import type { Service } from "../service/contract.ts";
import type { ServiceHost } from "../service/host.ts";
import { openStore } from "../store/open-store.ts";
import { Tasks } from "../task/tasks.ts";
import type { SqsLocation } from "../transport/location.ts";
import { SqsTransport } from "../transport/sqs-client.ts";

const AGAIN_MS = 200;
/** Tries before somebody hears of a queue that cannot be used: ten seconds. */
const QUIET_TRIES = 50;

/** A worker's side of its service's own queue. */
export class OwnQueue {
  /** What the service's HTTP server offers because there is a queue. */
  readonly routes: Required<Pick<AppOptions, "tasks" | "ownQueue" | "store">>;
  readonly #location: SqsLocation;
  readonly #settings: QueueSettings | undefined;
  readonly #reporter: WorkerReporter;
  #consuming: Promise<RunningConsumer | undefined> | undefined;
  #consumer: RunningConsumer | undefined;
  #waitingSince: number | undefined;
  #stopping = false;

  private constructor(
    location: SqsLocation,
    settings: QueueSettings | undefined,
    routes: OwnQueue["routes"],
    reporter: WorkerReporter,
  ) {
    this.#location = location;
    this.#settings = settings;
    this.#reporter = reporter;
    this.routes = routes;
  }

  /**
   * To be called before the service is loaded: from now on its callers know that a worker is coming.
   * @param settings what the queue was made with; it is asked where left out.
   */
  static async open(service: Service, location: SqsLocation, settings?: QueueSettings): Promise<OwnQueue> {
    const { queueUrl, priorityQueueUrl, storeUrl } = location;
    const reporter = await startReporter(service.name, storeUrl, placesOf(service));
    const store = await openStore(storeUrl);
    const tasks = new Tasks({
      service,
      store,
      queue: lazyQueue(queueUrl),
      ...(priorityQueueUrl !== undefined && { priorityQueue: lazyQueue(priorityQueueUrl) }),
    });
    const ownQueue = new SqsTransport(service.name, location);
    return new OwnQueue(location, settings, { tasks, ownQueue, store }, reporter);
  }

  /** Takes calls off the queue, from when it is there until it is stopped. */
  consume(host: ServiceHost): void {
    this.#waitingSince = performance.now();
    this.#consuming = this.#start(host);
  }

  /** Seconds since this worker last asked for messages or ended one; 0 before it is to consume. */
  get idleSeconds(): number {
    if (this.#consumer) return this.#consumer.idleSeconds;
    return this.#waitingSince === undefined ? 0 : (performance.now() - this.#waitingSince) / 1000;
  }

  /** Stops receiving, lets the calls in work finish for so many seconds, gives the rest back. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping = true;
    await (await this.#consuming)?.stop(graceSeconds);
    await this.#reporter.stop();
  }

  /** The queue may be a moment behind the worker. */
  async #start(host: ServiceHost): Promise<RunningConsumer | undefined> {
    const { queueUrl: url, priorityQueueUrl: priorityUrl, storeUrl } = this.#location;
    for (let tries = 1; !this.#stopping; tries++) {
      try {
        this.#consumer = await startConsumer(host, {
          urls: { url, priorityUrl },
          storeUrl,
          queueSettings: this.#settings,
          reporter: this.#reporter,
          // A folder costs nothing to write to.
          ...(storeUrl.startsWith("file:") && { progressSeconds: 0.25 }),
        });
        return this.#consumer;
      } catch (err) {
        log[tries === QUIET_TRIES ? "error" : "debug"]({ err }, "the service's queue cannot be used yet");
        await delay(AGAIN_MS);
      }
    }
    return undefined;
  }
}
