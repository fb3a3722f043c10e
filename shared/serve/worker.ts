/** A worker process: one instance of one service behind an HTTP server. Started by the supervisor. */

import { flushCompileCache } from "node:module";
import { AggregatorRegistry } from "prom-client";
import { privateOptions, publicOptions } from "../http/access-options.ts";
import { listen } from "../http/server.ts";
import { log } from "../observability/log.ts";
import { metrics } from "../observability/prometheus.ts";
import { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";
import { OwnQueue } from "./own-queue.ts";
import { loadProject } from "./project.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./worker-messages.ts";

const settings = JSON.parse(process.env.TANDEM_WORKER ?? "null") as WorkerSettings | null;
if (!settings || !process.send) throw new Error("worker.ts is started by `tandem serve`");

// Ctrl-C reaches the whole process group; the supervisor says when this worker may go.
process.on("SIGINT", () => undefined);

const send = (message: FromWorker): void => {
  if (process.connected) process.send?.(message);
};

/** Metrics of all workers, which only the supervisor can gather. */
const pending = new Map<number, (text: string) => void>();
let requests = 0;
function metricsText(): Promise<string> {
  return new Promise((resolve, reject) => {
    const id = ++requests;
    pending.set(id, resolve);
    send({ type: "metrics", id });
    setTimeout(() => {
      if (pending.delete(id)) reject(new Error("the supervisor did not answer with the metrics"));
    }, 10_000).unref();
  });
}
AggregatorRegistry.setRegistries(metrics);
new AggregatorRegistry();

const project = await loadProject(settings.folder, settings.configFile);
const deployable = project.deployables.find(({ service }) => service.name === settings.service)!;
const discovery = new Discovery(project.deployables, settings.locations);
const { queues } = settings;
const ownQueue = queues && (await OwnQueue.open(deployable.service, queues));
const host = await ServiceHost.start(deployable, discovery);
const lost = deployable.service.dependencies.find((dependency) => !discovery.knows(dependency));
if (lost)
  throw new TypeError(
    `${lost.name} has no implementation: export it from service.ts, or say in TANDEM_SERVICES where it runs`,
  );
// The supervisor's sockets are nobody else's: only what listens on a port asks who calls.
const isPublic = settings.listen.path === undefined;
const limits = isPublic ? publicOptions(project.accessAuthorization) : privateOptions();
const server = await listen(host, discovery, settings.listen, { ...limits, metricsText, ...ownQueue?.routes });

let stopping = false;
async function stop(grace: number): Promise<void> {
  const end = performance.now() + grace * 1000;
  const closed = server.close();
  await ownQueue?.stop(grace);
  await host.stop(Math.max(0, end - performance.now()) / 1000);
  await discovery.close();
  await closed;
  process.exit(0);
}
const stopOnce = (): void => {
  if (stopping) return;
  stopping = true;
  stop(settings.graceSeconds).catch((err: unknown) => {
    log.error({ err }, "the worker could not stop cleanly");
    process.exit(1);
  });
};
process.on("SIGTERM", stopOnce);
process.on("disconnect", stopOnce);
process.on("message", (message: ToWorker) => {
  if (message.type === "stop") stopOnce();
  if (message.type === "metrics") {
    pending.get(message.id)?.(message.text);
    pending.delete(message.id);
  }
});
send({ type: "started", url: server.url });
ownQueue?.consume(host);
// For the next start: a worker that is killed would not leave what it compiled.
flushCompileCache();
