import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { runtimeVariables } from "../config/bentofile.ts";
import type { Fault } from "../config/faults.ts";
import { readBentofile } from "../config/load.ts";
import type { AccessAuthorization } from "../http/access-options.ts";
import { dependencyOrder, named, type Service } from "../service/contract.ts";
import { type Deployable, isDeployable } from "../service/deployable.ts";
import { locationsFromEnvironment } from "../transport/location.ts";
import { loadDeployables } from "./load-deployables.ts";
import { readServeConfig, type ServeConfig } from "./serve-config.ts";

/** A folder with a bentofile.yaml, loaded: its services with config-file.yaml's overrides applied. */
export interface Project {
  readonly folder: string;
  readonly entry: Deployable;
  /** Who may call the entry. */
  readonly accessAuthorization: AccessAuthorization;
  /** Every service that runs here, the entry last. */
  readonly deployables: readonly Deployable[];
  /** Every service that the project's module exports. */
  readonly services: readonly Service[];
  /** Environment variables of a service: bentofile.yaml's, then config-file.yaml's global ones, then its own. */
  environmentOf(service: string): Record<string, string>;
  /** Services that config-file.yaml gives an `external_queue`: others call them through it. */
  readonly externalQueues: ReadonlySet<string>;
  /** Fields of the two files that mean nothing here, and what else their author should know. */
  readonly warnings: readonly Fault[];
}

/**
 * @param configFile config-file.yaml, relative to the working directory; none when left out.
 * @throws ConfigError with every fault of bentofile.yaml or config-file.yaml; Error for what else is missing.
 */
export async function loadProject(folder: string, configFile?: string): Promise<Project> {
  const path = resolve(folder, "bentofile.yaml");
  if (!existsSync(path)) throw new Error(`${path} is missing: it names the entry, as in service: "service:ControlNet"`);
  const bentofile = await readBentofile(path);
  const [moduleName, entryName] = bentofile.config.service.split(":") as [string, string];
  const modulePath = resolve(folder, /\.[cm]?[jt]s$/.test(moduleName) ? moduleName : `${moduleName}.ts`);
  if (!existsSync(modulePath)) throw new Error(`${path}: service names ${modulePath}, which is missing`);
  const { exports, deployables: exported } = await loadDeployables(modulePath);
  const config: ServeConfig = configFile === undefined ? {} : await readServeConfig(configFile, [...exported.keys()]);
  const entry = exports[entryName];
  if (!isDeployable(entry)) throw new Error(`${modulePath} exports no deployable service "${entryName}"`);
  const elsewhere = locationsFromEnvironment();
  // What is not exported runs elsewhere too: TANDEM_SERVICES, or a `depends()` with a URL, says where.
  const deployables = dependencyOrder(entry.service).flatMap(({ name }) => {
    const deployable = name in elsewhere && name !== entry.service.name ? undefined : exported.get(name);
    return deployable ? [{ ...deployable, service: overridden(deployable.service, config) }] : [];
  });
  const common = { ...runtimeVariables(bentofile.config), ...config.envs };
  return {
    folder: resolve(folder),
    entry: deployables.at(-1)!,
    accessAuthorization: config.accessAuthorization ?? "none",
    deployables,
    services: [...exported.values()].map(({ service }) => service),
    environmentOf: (service) => ({ ...common, ...config.services?.[service]?.envs }),
    externalQueues: new Set(
      Object.entries(config.services ?? {}).flatMap(([name, { externalQueue }]) => (externalQueue ? [name] : [])),
    ),
    warnings: [...bentofile.warnings, ...(config.warnings ?? [])],
  };
}

function overridden(service: Service, config: ServeConfig): Service {
  const { timeout, max_concurrency, concurrency, workers } = config.services?.[service.name]?.overrides ?? {};
  return named(service.name, service, {
    traffic: {
      timeout: timeout ?? service.traffic.timeout,
      maxConcurrency: max_concurrency ?? service.traffic.maxConcurrency,
      concurrency: concurrency ?? service.traffic.concurrency,
    },
    workers: workers ?? service.workers,
  });
}
