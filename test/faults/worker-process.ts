/** A worker process of a stub: takes calls off its queue until it is told to stop, or is killed. Started by `Workers`. */
import { type ConsumerSettings, startConsumer } from "#shared/delivery/start-consumer.ts";
import { deployable } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { Stub } from "./stub-service.ts";

/** What a worker does. */
export interface WorkerSettings extends Omit<ConsumerSettings, "reporter" | "openQueue"> {
  readonly service: keyof typeof SERVICES;
}

/** What may be asked of a worker, and what it says. */
export interface Memory {
  /** Bytes of physical memory. */
  readonly rss: number;
  /** Bytes of JavaScript objects. */
  readonly heap: number;
}

const SERVICES = {
  Stub: deployable(Stub, () => import("./stub-service.ts")),
};

// Failures are what these programs are about.
log.level = process.env.TANDEM_LOG_LEVEL ?? "silent";
const { service, ...settings } = JSON.parse(process.env.FAULTS_WORKER!) as WorkerSettings;
const discovery = new Discovery([], {});
const host = await ServiceHost.start(SERVICES[service], discovery);
const consumer = await startConsumer(host, settings);

async function stop(): Promise<void> {
  await consumer.stop(5);
  process.exit(0);
}
process.once("disconnect", () => void stop());
process.on("message", (message) => {
  if (message === "stop") void stop();
  if (message === "memory") process.send!(memory());
});
process.send!("ready");

function memory(): Memory {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}
