import type { Bentofile } from "#shared/config/bentofile.ts";
import { runtimeVariables } from "#shared/config/bentofile.ts";
import type { ConfigFile } from "#shared/config/config-file.ts";
import { environmentOf } from "#shared/config/environment.ts";
import type { Demand } from "./demand.ts";
import { imageVariables } from "./image.ts";
import type { PlanReport } from "./plan-report.ts";

/** Variables that the deployment sets itself, and what a user who sets them may have meant. */
const OWN: Readonly<Record<string, string>> = {
  TANDEM_SERVICES: "where services are is the deployment's to say",
  TANDEM_SERVICE: "the deployment sets it",
  TANDEM_STORE: "the store is the deployment's own bucket",
  TANDEM_WORKERS: "config_overrides.workers says how many there are",
  TANDEM_OVERRIDES: "config_overrides says what is overridden",
  TANDEM_MODEL_URL: "write aws.model_url",
  TANDEM_CANARY: "canary says how calls are split",
  TANDEM_VERSION: "the deployment sets it",
};

/** Bytes of all variables of a function: Lambda's limit, less what locations of services take. */
const FUNCTION_BYTES = 4096 - 1024;

/** What a service's process is in: a function may be an image, too. */
export type RunsAs = "function" | "function-image" | "container";

/**
 * Variables that users give a service: those of bentofile.yaml's image where it runs in one, bentofile.yaml's, then those
 * of every service, then its own.
 */
export function userEnvironment(
  demand: Demand,
  bentofile: Bentofile,
  config: ConfigFile,
  runsAs: RunsAs,
  report: PlanReport,
): Record<string, string> {
  const { name } = demand;
  for (const [path, list] of [
    [["envs"], config.envs],
    [demand.at("envs"), demand.config.envs],
  ] as const)
    for (const [index, variable] of (list ?? []).entries()) {
      const meant = OWN[variable.name];
      const field = [...path, index, "name"];
      if (meant !== undefined)
        report.error(field, `${variable.name} is the deployment's own`, `leave it out: ${meant}`);
      if (variable.name === "TANDEM_API_KEYS")
        report.warn(
          field,
          "keys in the file are seen by everybody who reads it, or the function's settings",
          'leave it out and give them with "sst secret set TandemApiKeys <keys>", access_authorization: true',
        );
    }
  const declared = runtimeVariables(bentofile);
  for (const variable of Object.keys(declared))
    if (OWN[variable] !== undefined)
      report.error([], `bentofile.yaml sets ${variable}, the deployment's own`, `leave it out there: ${OWN[variable]}`);
  const given = {
    ...(runsAs !== "function" && imageVariables(bentofile)),
    ...declared,
    ...environmentOf(config.envs),
    ...environmentOf(demand.config.envs),
  };
  const bytes = Object.entries(given).reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value), 0);
  if (runsAs !== "container" && bytes > FUNCTION_BYTES)
    report.error(
      demand.config.envs ? demand.at("envs") : ["envs"],
      `the variables of ${name} have ${bytes} bytes, and a function has room for ${FUNCTION_BYTES} beside Tandem's own`,
      "keep long values in a file of the project, or in the store",
    );
  return given;
}

/** What config-file.yaml says instead of the contract, and how the queue is: for the process to read. */
export interface Overrides {
  readonly timeout?: number;
  readonly maxConcurrency?: number;
  readonly concurrency?: number;
  readonly maxReceiveCount?: number;
  readonly visibilityTimeout?: number;
}

/** Where config-file.yaml differs from the contract. */
export function contractOverrides(demand: Demand): Overrides {
  const { timeout, maxConcurrency, concurrency } = demand.service.traffic;
  return {
    ...(demand.timeout !== timeout && { timeout: demand.timeout }),
    ...(demand.maxConcurrency !== maxConcurrency && { maxConcurrency: demand.maxConcurrency }),
    ...(demand.concurrency !== concurrency && { concurrency: demand.concurrency }),
  };
}
