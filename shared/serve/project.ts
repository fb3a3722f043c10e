import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";
import * as z from "zod";
import type { AccessAuthorization } from "../http/access-options.ts";
import { dependencyOrder, named, type Service } from "../service/contract.ts";
import { type Deployable, isDeployable } from "../service/deployable.ts";
import { locationsFromEnvironment } from "../transport/location.ts";
import { readServeConfig, type ServeConfig } from "./serve-config.ts";

/** A folder with a bentofile.yaml, loaded: its services with config-file.yaml's overrides applied. */
export interface Project {
  readonly folder: string;
  readonly entry: Deployable;
  /** Who may call the entry. */
  readonly accessAuthorization: AccessAuthorization;
  /** Every service that runs here, the entry last. */
  readonly deployables: readonly Deployable[];
  /** Environment variables of a service: the global ones, then its own. */
  environmentOf(service: string): Record<string, string>;
  /** Services that config-file.yaml gives an `external_queue`: others call them through it. */
  readonly externalQueues: ReadonlySet<string>;
}

const bentofileSchema = z.looseObject({
  service: z.string().regex(/^[\w./-]+:\w+$/, 'must be "module:Name", for example "service:ControlNet"'),
});

/**
 * @param configFile config-file.yaml, relative to the working directory; none when left out.
 * @throws Error naming the file and what is wrong with it.
 */
export async function loadProject(folder: string, configFile?: string): Promise<Project> {
  const path = resolve(folder, "bentofile.yaml");
  if (!existsSync(path)) throw new Error(`${path} is missing: it names the entry, as in service: "service:ControlNet"`);
  const bentofile = bentofileSchema.safeParse(parse(await readFile(path, "utf8")));
  if (!bentofile.success) throw new Error(`${path}: ${z.prettifyError(bentofile.error)}`);
  const [moduleName, entryName] = bentofile.data.service.split(":") as [string, string];
  const modulePath = resolve(folder, /\.[cm]?[jt]s$/.test(moduleName) ? moduleName : `${moduleName}.ts`);
  if (!existsSync(modulePath)) throw new Error(`${path}: service names ${modulePath}, which is missing`);
  const module = (await import(pathToFileURL(modulePath).href)) as Record<string, unknown>;
  const config = configFile === undefined ? {} : await readServeConfig(resolve(configFile));
  const exported = new Map(
    Object.values(module)
      .filter(isDeployable)
      .map((deployable) => [deployable.service.name, deployable]),
  );
  const entry = module[entryName];
  if (!isDeployable(entry)) throw new Error(`${modulePath} exports no deployable service "${entryName}"`);
  const elsewhere = locationsFromEnvironment();
  // What is not exported runs elsewhere too: TANDEM_SERVICES, or a `depends()` with a URL, says where.
  const deployables = dependencyOrder(entry.service).flatMap(({ name }) => {
    const deployable = name in elsewhere && name !== entry.service.name ? undefined : exported.get(name);
    return deployable ? [{ ...deployable, service: overridden(deployable.service, config) }] : [];
  });
  const unknown = Object.keys(config.services ?? {}).filter((name) => !exported.has(name));
  if (unknown.length > 0)
    throw new Error(`${configFile}: no service ${unknown.join(", ")}; there are ${[...exported.keys()].join(", ")}`);
  return {
    folder: resolve(folder),
    entry: deployables.at(-1)!,
    accessAuthorization: config.accessAuthorization ?? "none",
    deployables,
    environmentOf: (service) => ({ ...config.envs, ...config.services?.[service]?.envs }),
    externalQueues: new Set(
      Object.entries(config.services ?? {}).flatMap(([name, { externalQueue }]) => (externalQueue ? [name] : [])),
    ),
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
