import { once } from "node:events";
import { join, resolve } from "node:path";
import { fetchModel } from "../model/fetch-model.ts";
import { log } from "../observability/log.ts";
import { named } from "../service/contract.ts";
import type { Deployable } from "../service/deployable.ts";
import { type ContainerSettings, readContainerSettings } from "./container-settings.ts";
import { serveHealth } from "./health-server.ts";
import { loadDeployables } from "./load-deployables.ts";
import { WorkerGroup } from "./worker-group.ts";

/**
 * The deployable that a container runs, with the workers and the traffic that its deployment gives it.
 * @param folder has the project's service.ts.
 * @throws Error where that exports no such service.
 */
export async function loadContainerService(
  folder: string,
  { service: name, workers, traffic }: ContainerSettings,
): Promise<Deployable> {
  const path = resolve(folder, "service.ts");
  const { deployables } = await loadDeployables(path);
  const deployable = deployables.get(name);
  if (!deployable)
    throw new Error(
      `${path} exports no service ${name}, but ${[...deployables.keys()].join(", ")}: see TANDEM_SERVICE`,
    );
  const { service } = deployable;
  const changes = { traffic: { ...service.traffic, ...traffic }, workers: workers?.length ?? service.workers };
  return { ...deployable, service: named(name, service, changes) };
}

/**
 * What a container does: fetches the model's weights, runs one service in its worker processes until SIGTERM, then lets
 * the calls in work finish. How the container is, it tells on a socket in its run folder.
 * @param folder has the project's service.ts.
 * @throws TypeError for an environment that cannot be used, Error for a service that cannot start, ServiceError for
 * weights that cannot be had.
 */
export async function runContainer(folder: string): Promise<void> {
  const settings = readContainerSettings();
  const { service } = await loadContainerService(folder, settings);
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => stop.abort());
  const stopped = once(stop.signal, "abort");
  let group: WorkerGroup | undefined;
  const health = await serveHealth(settings.runFolder, {
    // Weights take their time; their fetch has an end of its own.
    health: async () => group?.health() ?? { live: true, ready: false },
    metricsText: async () => group?.metricsText() ?? "",
  });
  try {
    const modelFolder = settings.model && (await fetchModel({ ...settings.model, signal: stop.signal }));
    if (stop.signal.aborted) return;
    let started = 0;
    group = new WorkerGroup({
      script: new URL("./container-worker.ts", import.meta.url),
      graceSeconds: settings.graceSeconds,
      onStarted: (_, url) => {
        started++;
        if (started === service.workers)
          log.info({ service: service.name, url, workers: started }, `${service.name} is ready`);
      },
    });
    for (let index = 0; index < service.workers; index++) {
      const environment = workerEnvironment(settings.workers?.[index]?.gpus ?? [], modelFolder, folder);
      group.add(service.name, () => environment);
    }
    await Promise.race([stopped, group.failed]);
    log.info({ service: service.name }, "stopping: calls in work finish");
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    await group?.stop([service.name]);
    await health.close();
  }
}

/** A worker sees its own GPUs only. The service runs on them unless its environment says otherwise. */
function workerEnvironment(
  gpus: readonly number[],
  modelFolder: string | undefined,
  folder: string,
): NodeJS.ProcessEnv {
  return {
    ...process.env,
    TANDEM_EXECUTION_PROVIDER: process.env.TANDEM_EXECUTION_PROVIDER || (gpus.length > 0 ? "cuda" : "cpu"),
    ...(modelFolder !== undefined && { TANDEM_MODEL_DIR: modelFolder }),
    CUDA_VISIBLE_DEVICES: gpus.join(","),
    // Counted as nvidia-smi counts them.
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    TANDEM_WORKER: folder,
  };
}

/** Where a container's HTTP server listens. */
export function whereToListen({ port, runFolder, service }: ContainerSettings) {
  return port === undefined ? { path: join(runFolder, `${service}.sock`) } : { host: "0.0.0.0", port };
}
