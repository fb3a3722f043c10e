import type { ConfigFile, ServiceConfig } from "#shared/config/config-file.ts";
import { type Path, Unreadable } from "#shared/config/faults.ts";
import type { Workers } from "#shared/config/overrides.ts";
import { parseCpu, parseMemory } from "#shared/config/quantity.ts";
import type { Service } from "#shared/service/contract.ts";
import type { PlanReport } from "./plan-report.ts";

/** What a service asks for: what its contract says, and what config-file.yaml says instead. */
export interface Demand {
  readonly service: Service;
  readonly name: string;
  readonly isEntry: boolean;
  readonly config: ServiceConfig;
  /** Names of the services of this deployment that it calls. */
  readonly dependencies: readonly string[];
  /** Seconds. */
  readonly timeout: number;
  readonly maxConcurrency: number;
  readonly concurrency: number;
  /** Cores of a replica. */
  readonly cpu: number | undefined;
  /** MiB of a replica. */
  readonly memory: number | undefined;
  /** GPUs of a replica; below 1, a part of one. */
  readonly gpus: number;
  readonly gpuType: string | undefined;
  readonly workers: Workers;
  /** A field of the service, as the file has it. */
  at(...path: Path): Path;
  /** A field of its `config_overrides`. */
  override(...path: Path): Path;
}

/** Every service's demands, in the order of the services. */
export function demandsOf(services: readonly Service[], config: ConfigFile, report: PlanReport): Demand[] {
  const deployed = new Set(services.map(({ name }) => name));
  return services.map((service, index) =>
    demandOf(service, config.services?.[service.name] ?? {}, index === services.length - 1, deployed, report),
  );
}

function demandOf(
  service: Service,
  config: ServiceConfig,
  isEntry: boolean,
  deployed: ReadonlySet<string>,
  report: PlanReport,
): Demand {
  const { name, traffic, resources: declared } = service;
  const at = (...path: Path): Path => ["services", name, ...path];
  const override = (...path: Path): Path => at("config_overrides", ...path);
  const { traffic: given = {}, resources = {}, workers } = config.config_overrides ?? {};
  const declaredHere = <T>(what: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      report.error(at(), `resources.${what} of the service's contract ${error.message}`, error.hint);
      return undefined;
    }
  };
  const { cpu: cores, memory: size } = declared;
  const cpu = resources.cpu ?? (cores === undefined ? undefined : declaredHere("cpu", () => parseCpu(cores)));
  const bytes = resources.memory ?? (size === undefined ? undefined : declaredHere("memory", () => parseMemory(size)));
  const maxConcurrency = given.max_concurrency ?? traffic.maxConcurrency;
  // As many for each worker as the contract has, where the file says how many workers there are and nothing of GPUs.
  const declaredGpus = declared.gpu ?? (declared.gpuType === undefined ? 0 : 1);
  const perWorker = declaredGpus / service.workers;
  const count = typeof workers?.count === "number" ? workers.count : service.workers;
  const gpus = resources.gpu ?? (declaredGpus < 1 ? declaredGpus : perWorker * count);
  return {
    service,
    name,
    isEntry,
    config,
    dependencies: service.dependencies.map((dependency) => dependency.name).filter((one) => deployed.has(one)),
    timeout: given.timeout ?? traffic.timeout,
    maxConcurrency,
    concurrency: Math.min(given.concurrency ?? traffic.concurrency, maxConcurrency),
    cpu,
    memory: bytes === undefined ? undefined : Math.ceil(bytes / 2 ** 20),
    gpus,
    gpuType: resources.gpu_type ?? (gpus > 0 ? declared.gpuType : undefined),
    workers: workers ?? { count: service.workers },
    at,
    override,
  };
}
