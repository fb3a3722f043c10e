/** A worker process of a stub: takes calls off its queue until it is told to stop, or is killed. Started by `Workers`. */
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { type ConsumerSettings, startConsumer } from "#shared/delivery/start-consumer.ts";
import { deployable, ServiceError } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { answerMemory } from "./memory.ts";
import { Stub } from "./stub-service.ts";

/** What a worker does. */
export interface WorkerSettings extends Omit<ConsumerSettings, "reporter" | "openQueue"> {
  readonly service: keyof typeof SERVICES;
}

const SERVICES = {
  Stub: deployable(Stub, () => import("./stub-service.ts")),
  SDXLControlNetService: deployable(SDXLControlNetService, () => import("./gpu-stub.ts")),
};

// Failures are what these programs are about.
log.level = process.env.TANDEM_LOG_LEVEL ?? "silent";
const { service, ...settings } = JSON.parse(process.env.FAULTS_WORKER!) as WorkerSettings;
const discovery = new Discovery([], {});
const host = await ServiceHost.start(SERVICES[service], discovery);
const consumer = await startConsumer(host, settings).catch((error: unknown) => {
  // The server is away: this worker is started again until it is there.
  if (ServiceError.is(error) && error.code === "UNAVAILABLE") process.exit(1);
  throw error;
});

async function stop(): Promise<void> {
  await consumer.stop(5);
  process.exit(0);
}
process.once("disconnect", () => void stop());
process.on("message", (message) => {
  if (message === "stop") void stop();
});
answerMemory();
process.send!("ready");
