import type { ServiceConfig } from "../config/config-file.ts";
import { environmentOf } from "../config/environment.ts";
import type { Fault } from "../config/faults.ts";
import { readConfigFile } from "../config/load.ts";
import type { AccessAuthorization } from "../http/access-options.ts";

/**
 * What one machine uses of config-file.yaml: who may call the entry, environment variables and `config_overrides` of
 * traffic and workers.
 * Instance types, scaling and strategies mean something in the cloud only; they are checked, and left alone here.
 */
export interface ServeConfig {
  accessAuthorization?: AccessAuthorization;
  envs?: Record<string, string>;
  services?: Record<
    string,
    {
      envs: Record<string, string>;
      overrides: { timeout?: number; max_concurrency?: number; concurrency?: number; workers?: number };
      /** Whether other services call it through its queue. */
      externalQueue: boolean;
    }
  >;
  /** What the file's author should know. */
  warnings?: readonly Fault[];
}

/**
 * @param services names that the project has; left out, any may be in the file.
 * @throws ConfigError with every fault of the file, those in fields that are not used here included.
 */
export async function readServeConfig(path: string, services?: readonly string[]): Promise<ServeConfig> {
  const { config, warnings } = await readConfigFile(path, services && { services });
  return {
    accessAuthorization: config.access_authorization ?? "none",
    envs: environmentOf(config.envs),
    services: Object.fromEntries(
      Object.entries(config.services ?? {}).map(([name, service]) => [name, localPart(service)]),
    ),
    warnings,
  };
}

function localPart({ envs, config_overrides = {} }: ServiceConfig): NonNullable<ServeConfig["services"]>[string] {
  const {
    timeout,
    max_concurrency,
    concurrency,
    external_queue: externalQueue = false,
  } = config_overrides.traffic ?? {};
  const count = config_overrides.workers?.count;
  const workers = count === "cpu_count" ? navigator.hardwareConcurrency : count;
  const overrides = {
    ...(timeout !== undefined && { timeout }),
    ...(max_concurrency !== undefined && { max_concurrency }),
    ...(concurrency !== undefined && { concurrency }),
    ...(workers !== undefined && { workers }),
  };
  return { envs: environmentOf(envs), overrides, externalQueue };
}
