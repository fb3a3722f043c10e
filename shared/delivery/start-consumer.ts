import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Service } from "../service/contract.ts";
import type { ServiceHost } from "../service/host.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { openStore } from "../store/open-store.ts";
import { deliverCallback } from "../task/callback.ts";
import { encodeMessage } from "./call-message.ts";
import { CallObjects } from "./call-objects.ts";
import { CallRunner } from "./call-runner.ts";
import { Consumer } from "./consumer.ts";
import type { MessageQueue, QueueSettings, QueueUrls } from "./message-queue.ts";
import { type OpenQueue, openSqsQueue } from "./open-queue.ts";
import { WorkerReporter } from "./worker-report.ts";

export interface ConsumerSettings {
  readonly urls: QueueUrls;
  /** `s3://bucket[/prefix]`, or `file:/folder`. */
  readonly storeUrl: string;
  /** What the queues were made with; they are asked where left out. */
  readonly queueSettings?: QueueSettings | undefined;
  /** Messages worked on at once, as far as the host has a use for them; the worker's share of `traffic.concurrency` where left out. */
  readonly places?: number | undefined;
  /** Seconds of a long poll; a stop waits for the one under way. Default 20. */
  readonly waitSeconds?: number | undefined;
  /** Seconds until a failed call's next delivery, doubled with each. Default 1. */
  readonly backoffSeconds?: number | undefined;
  /** Least seconds between two progress objects. Default 1. */
  readonly progressSeconds?: number | undefined;
  /** Seconds between two looks whether the service is ready. Default 1. */
  readonly readySeconds?: number | undefined;
  /** Made by {@link startReporter} before the service was loaded. */
  readonly reporter?: WorkerReporter | undefined;
  readonly openQueue?: OpenQueue | undefined;
}

export interface RunningConsumer {
  /** Messages in work. */
  readonly inFlight: number;
  /** Seconds since it last asked for messages or ended one. */
  readonly idleSeconds: number;
  /** Stops receiving, lets the calls in work finish for so many seconds, gives the rest back. */
  stop(graceSeconds?: number): Promise<void>;
}

/** Calls that one worker of a service takes from its queue at once. */
export function placesOf({ traffic, workers }: Service): number {
  return Math.ceil(traffic.concurrency / workers);
}

/** Lets callers know of this worker from its start on: what it is busy with, how long jobs take. */
export async function startReporter(service: string, storeUrl: string, places: number): Promise<WorkerReporter> {
  const store = await openStore(storeUrl);
  return new WorkerReporter({
    store,
    service,
    worker: `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`,
    places,
  });
}

/**
 * Takes calls off a service's queue and runs them on its host.
 * @throws ServiceError when the queues or the store cannot be reached.
 */
export async function startConsumer(host: ServiceHost, settings: ConsumerSettings): Promise<RunningConsumer> {
  const { urls, storeUrl, openQueue = openSqsQueue } = settings;
  const { service } = host;
  const places = host.queuePlaces(settings.places ?? placesOf(service));
  const [store, queue, priorityQueue] = await Promise.all([
    openStore(storeUrl),
    openQueue(urls.url),
    urls.priorityUrl === undefined ? undefined : openQueue(urls.priorityUrl),
  ]);
  const reporter = settings.reporter ?? (await startReporter(service.name, storeUrl, places));
  reporter.takes(places);
  const runner = runnerOf(host, store, queue, reporter, settings);
  const protection = await taskProtection();
  const consumer = new Consumer({
    queue,
    priorityQueue,
    settings: settings.queueSettings,
    places,
    handle: runner.handle,
    waitSeconds: settings.waitSeconds,
    onBusy: protection?.protect,
  });
  await consumer.start();
  const follow = async (): Promise<void> => reporter.phase((await host.ready()) ? "ready" : "loading");
  await follow();
  const following = setInterval(() => void follow(), (settings.readySeconds ?? 1) * 1000);
  return {
    get inFlight() {
      return consumer.inFlight;
    },
    get idleSeconds() {
      return consumer.idleSeconds;
    },
    stop: async (graceSeconds) => {
      clearInterval(following);
      reporter.phase("stopping");
      await consumer.stop(graceSeconds);
      await reporter.stop();
      await protection?.settled();
      await Promise.all([queue.close(), priorityQueue?.close(), store.close()]);
    },
  };
}

function runnerOf(
  host: ServiceHost,
  store: ObjectStore,
  queue: MessageQueue,
  reporter: WorkerReporter,
  { backoffSeconds, progressSeconds }: ConsumerSettings,
): CallRunner {
  const objects = new CallObjects(store, host.service.name);
  return new CallRunner({
    host,
    objects,
    observer: reporter,
    backoffSeconds,
    progressSeconds,
    callback: async (call) => {
      await deliverCallback(call, objects, host.service);
    },
    announce: (call) => queue.send(encodeMessage({ ...call, kind: "callback" })),
  });
}

/** Only a task of ECS has an agent to ask. */
async function taskProtection() {
  if (!process.env.ECS_AGENT_URI) return undefined;
  const { TaskProtection } = await import("../aws/task-protection.ts");
  return TaskProtection.fromEnvironment();
}
