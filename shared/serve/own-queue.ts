import { setTimeout as delay } from "node:timers/promises";
import { openSqsQueue } from "../delivery/open-queue.ts";
import { type RunningConsumer, startConsumer } from "../delivery/start-consumer.ts";
import { log } from "../observability/log.ts";
import type { Service } from "../service/contract.ts";
import type { ServiceHost } from "../service/host.ts";
import { openStore } from "../store/open-store.ts";
import { Tasks } from "../task/tasks.ts";
import type { QueuePlaces } from "./queue-places.ts";

const AGAIN_MS = 200;

/** The tasks of a service that is served here. */
export async function openTasks(service: Service, { services, storeUrl }: QueuePlaces): Promise<Tasks> {
  const { url, priorityUrl } = services[service.name]!;
  const [store, queue, priorityQueue] = await Promise.all([
    openStore(storeUrl),
    openSqsQueue(url),
    openSqsQueue(priorityUrl),
  ]);
  return new Tasks({ service, store, queue, priorityQueue });
}

/** Takes calls off a service's own queue, from when the queue is there until it is stopped. */
export class OwnQueue {
  readonly #starting: Promise<RunningConsumer | undefined>;
  #stopping = false;

  constructor(host: ServiceHost, places: QueuePlaces) {
    this.#starting = this.#start(host, places);
  }

  /** Stops receiving, lets the calls in work finish for so many seconds, gives the rest back. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping = true;
    await (await this.#starting)?.stop(graceSeconds);
  }

  /** The queue may be a moment behind the worker. */
  async #start(host: ServiceHost, { services, storeUrl }: QueuePlaces): Promise<RunningConsumer | undefined> {
    while (!this.#stopping) {
      try {
        return await startConsumer(host, { urls: services[host.service.name]!, storeUrl });
      } catch (err) {
        log.debug({ err }, "the service's queue cannot be used yet");
        await delay(AGAIN_MS);
      }
    }
    return undefined;
  }
}
