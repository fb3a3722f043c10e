import type { ListenOptions } from "node:net";
import { AggregatorRegistry } from "prom-client";
import type { QueueSettings } from "../delivery/message-queue.ts";
import type { AppOptions } from "../http/app.ts";
import { listen } from "../http/server.ts";
import { watchGpus } from "../observability/gpu.ts";
import { log } from "../observability/log.ts";
import { metrics } from "../observability/prometheus.ts";
import type { Deployable } from "../service/deployable.ts";
import type { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";
import type { SqsLocation } from "../transport/location.ts";
import { OwnQueue } from "./own-queue.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";

export interface WorkerOptions {
  deployable: Deployable;
  /** Knows where its dependencies are. */
  discovery: Discovery;
  /** Where its HTTP server listens; workers of one group share it. */
  where: Pick<ListenOptions, "host" | "port" | "path">;
  /** Who may call over HTTP, and how much. */
  limits: AppOptions;
  /** The service's own queue, where it has one. */
  queue: SqsLocation | undefined;
  /** What that queue was made with; the queue is asked where left out. */
  queueSettings?: QueueSettings | undefined;
  /** Seconds that calls in work get when the worker is told to stop. */
  graceSeconds: number;
}

/** Seconds, beyond a call's longest time, after which a worker that neither asks for messages nor ends one is stuck. */
const STUCK_AFTER = 60;

/**
 * A worker process: one instance of one service behind an HTTP server and its queue. Started and stopped by a
 * {@link WorkerGroup}.
 * @throws TypeError where a dependency runs nowhere.
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { deployable, discovery, where, limits, queue, queueSettings, graceSeconds } = options;
  // Ctrl-C reaches the whole process group; the group's process says when this worker may go.
  process.on("SIGINT", () => undefined);
  const ownQueue = queue && (await OwnQueue.open(deployable.service, queue, queueSettings));
  const host = await ServiceHost.start(deployable, discovery);
  const lost = deployable.service.dependencies.find((dependency) => !discovery.knows(dependency));
  if (lost)
    throw new TypeError(
      `${lost.name} has no implementation: export it from service.ts, or say in TANDEM_SERVICES where it runs`,
    );
  const metricsText = askForMetrics();
  const stopWatching = watchGpus(deployable.service.name);
  const server = await listen(host, discovery, where, { ...limits, metricsText, ...ownQueue?.routes });

  async function stop(): Promise<void> {
    const end = performance.now() + graceSeconds * 1000;
    const closed = server.close();
    stopWatching();
    await ownQueue?.stop(graceSeconds);
    await host.stop(Math.max(0, end - performance.now()) / 1000);
    await discovery.close();
    await closed;
    process.exit(0);
  }
  let stopping = false;
  const stopOnce = (): void => {
    if (stopping) return;
    stopping = true;
    stop().catch((err: unknown) => {
      log.error({ err }, "the worker could not stop cleanly");
      process.exit(1);
    });
  };
  const answerHealth = async (id: number): Promise<void> => {
    const idle = ownQueue?.idleSeconds ?? 0;
    const live = (await host.live()) && idle < deployable.service.traffic.timeout + STUCK_AFTER;
    send({ type: "health", id, live, ready: await host.ready() });
  };
  process.on("SIGTERM", stopOnce);
  process.on("disconnect", stopOnce);
  process.on("message", (message: ToWorker) => {
    if (message.type === "stop") stopOnce();
    if (message.type === "health") void answerHealth(message.id);
  });
  ownQueue?.consume(host);
  send({ type: "started", url: server.url });
}

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

const METRICS_MS = 10_000;

/** Metrics of all workers, which only the group's process can gather. */
function askForMetrics(): () => Promise<string> {
  AggregatorRegistry.setRegistries(metrics);
  new AggregatorRegistry();
  const pending = new Map<number, (text: string) => void>();
  let requests = 0;
  process.on("message", (message: ToWorker) => {
    if (message.type !== "metrics") return;
    pending.get(message.id)?.(message.text);
    pending.delete(message.id);
  });
  return () =>
    new Promise((resolve, reject) => {
      const id = ++requests;
      pending.set(id, resolve);
      send({ type: "metrics", id });
      setTimeout(() => {
        if (pending.delete(id)) reject(new Error("the metrics of all workers could not be gathered"));
      }, METRICS_MS).unref();
    });
}
