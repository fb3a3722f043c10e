import { setTimeout as delay } from "node:timers/promises";
import { lazyQueue } from "../delivery/lazy-queue.ts";
import { placesOf, type RunningConsumer, startConsumer, startReporter } from "../delivery/start-consumer.ts";
import type { WorkerReporter } from "../delivery/worker-report.ts";
import type { AppOptions } from "../http/app.ts";
import { log } from "../observability/log.ts";
import type { Service } from "../service/contract.ts";
import type { ServiceHost } from "../service/host.ts";
import { openStore } from "../store/open-store.ts";
import { Tasks } from "../task/tasks.ts";
import { SqsTransport } from "../transport/sqs-client.ts";
import type { QueuePlaces } from "./queue-places.ts";

const AGAIN_MS = 200;

/** A worker's side of its service's own queue. */
export class OwnQueue {
  /** What the service's HTTP server offers because there is a queue. */
  readonly routes: Required<Pick<AppOptions, "tasks" | "ownQueue" | "store">>;
  readonly #places: QueuePlaces;
  readonly #reporter: WorkerReporter;
  #consuming: Promise<RunningConsumer | undefined> | undefined;
  #stopping = false;

  private constructor(places: QueuePlaces, routes: OwnQueue["routes"], reporter: WorkerReporter) {
    this.#places = places;
    this.#reporter = reporter;
    this.routes = routes;
  }

  /** To be called before the service is loaded: from now on its callers know that a worker is coming. */
  static async open(service: Service, places: QueuePlaces): Promise<OwnQueue> {
    const { storeUrl } = places;
    const { url, priorityUrl } = places.services[service.name]!;
    const reporter = await startReporter(service.name, storeUrl, placesOf(service));
    const store = await openStore(storeUrl);
    const location = { transport: "sqs", queueUrl: url, priorityQueueUrl: priorityUrl, storeUrl } as const;
    const tasks = new Tasks({ service, store, queue: lazyQueue(url), priorityQueue: lazyQueue(priorityUrl) });
    const ownQueue = new SqsTransport(service.name, location);
    return new OwnQueue(places, { tasks, ownQueue, store }, reporter);
  }

  /** Takes calls off the queue, from when it is there until it is stopped. */
  consume(host: ServiceHost): void {
    this.#consuming = this.#start(host);
  }

  /** Stops receiving, lets the calls in work finish for so many seconds, gives the rest back. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping = true;
    await (await this.#consuming)?.stop(graceSeconds);
    await this.#reporter.stop();
  }

  /** The queue may be a moment behind the worker. */
  async #start(host: ServiceHost): Promise<RunningConsumer | undefined> {
    const { services, storeUrl } = this.#places;
    while (!this.#stopping) {
      try {
        return await startConsumer(host, {
          urls: services[host.service.name]!,
          storeUrl,
          reporter: this.#reporter,
          // A folder costs nothing to write to.
          ...(storeUrl.startsWith("file:") && { progressSeconds: 0.25 }),
        });
      } catch (err) {
        log.debug({ err }, "the service's queue cannot be used yet");
        await delay(AGAIN_MS);
      }
    }
    return undefined;
  }
}
