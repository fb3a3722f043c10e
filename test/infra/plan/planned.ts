import { join } from "node:path";
import * as z from "zod";
import type { CanaryPlan, DeploymentPlan, Permission, QueuePlan, ServicePlan } from "#infra/plan/deployment-plan.ts";
import { type Planned, planDeployment } from "#infra/plan/plan.ts";
import { ConfigError, type Fault } from "#shared/config/faults.ts";
import { parseBentofile, parseConfigFile } from "#shared/config/load.ts";
import { ControlNet } from "#shared/contracts/controlnet.ts";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import { api, type Service, type ServiceOptions, service } from "#shared/service/contract.ts";

/** The reference application, the entry last. */
export const SEED = [SDXLControlNetService, ControlNet];

/** A contract with one api. */
export function contract(name: string, options: Partial<ServiceOptions<never, readonly Service[]>> = {}): Service {
  return service(name, { ...options, apis: { run: api({ input: z.object({}), output: z.string() }) } });
}

/** Every handler that a service may have. */
export const allHandlers = (name: string): HandlerFiles => {
  const file = `functions/handlers/${name.toLowerCase()}`;
  return { url: `${file}.ts`, queue: `${file}-queue.ts`, deadLetters: `${file}-dead-letters.ts` };
};

export interface PlannedOptions {
  stage?: string;
  region?: string;
  bentofile?: string;
  handlers?: (name: string) => HandlerFiles;
  /** Services of canary versions that have a folder; by default those of the main one. */
  versions?: Readonly<Record<string, readonly Service[]>>;
}

/** A plan of config-file.yaml's text. */
export function planned(services: readonly Service[], yaml: string, options: PlannedOptions = {}): Planned {
  const { stage = "dev", region = "us-east-1", handlers = allHandlers } = options;
  const { config: bentofile } = parseBentofile(options.bentofile ?? `service: "service:${services.at(-1)!.name}"`);
  const configFile = parseConfigFile(yaml, "config-file.yaml", { services: services.map(({ name }) => name) });
  const versions = Object.entries(configFile.config.canary?.versions ?? {}).flatMap(([label, { bento }]) => {
    if (bento === undefined) return [];
    const inFolder = (name: string): HandlerFiles =>
      Object.fromEntries(Object.entries(handlers(name)).map(([kind, file]) => [kind, join(bento, file)]));
    return [[label, { services: options.versions?.[label] ?? services, bentofile, handlers: inFolder }]];
  });
  return planDeployment({
    services,
    bentofile,
    configFile,
    stage,
    region,
    handlers,
    versions: Object.fromEntries(versions),
  });
}

/** What is said of a config file by the planner: errors where it refuses, warnings where it does not. */
export function toldOf(services: readonly Service[], yaml: string, options: PlannedOptions = {}): Fault[] {
  try {
    return planned(services, yaml, options).warnings;
  } catch (error) {
    if (error instanceof ConfigError) return [...error.faults];
    throw error;
  }
}

export function serviceIn(plan: DeploymentPlan, name: string): ServicePlan {
  const found = plan.services.find((one) => one.name === name);
  if (!found) throw new Error(`the plan has no ${name}`);
  return found;
}

/** A service of a kind, for tests that know which it is. */
export function serviceOf<K extends ServicePlan["kind"]>(plan: DeploymentPlan, name: string, kind: K) {
  const found = serviceIn(plan, name);
  if (found.kind !== kind) throw new Error(`${name} is a ${found.kind}`);
  return found as Extract<ServicePlan, { kind: K }>;
}

/** All of a plan, as lines that people can review: what is undefined, empty or the same everywhere is left out. */
export function outline(plan: DeploymentPlan): string {
  const { services, edges, alarms, canary, quotas, cost, version: _, ...rest } = plan;
  const lines = [
    ...Object.entries(rest).flatMap(([key, value]) => line("", key, value)),
    ...edges.map(({ caller, callee, transport }) => `${caller} -> ${callee} by ${transport}`),
    ...services.flatMap(serviceLines),
    ...(canary ? canaryLines(canary) : []),
    ...alarms.map(
      ({ service, version, metric, threshold, period, periods }) =>
        `alarm ${service}${version ? ` (${version})` : ""} ${metric} ${threshold} in ${periods} x ${period} s`,
    ),
    ...quotas.map(({ serviceCode, quotaCode, needed }) => `quota ${serviceCode} ${quotaCode} ${needed}`),
    `cost ${cost.monthlyAtMin.toFixed(2)} to ${cost.monthlyAtMax.toFixed(2)} a month, ${cost.perThousandPictures?.toFixed(2) ?? "nothing known"} for 1,000`,
  ];
  return `${lines.join("\n")}\n`;
}

function canaryLines({ route, routeBy, versions, rollback, rollbackPermissions }: CanaryPlan): string[] {
  return [
    `split by ${route} ${routeBy ?? ""}`.trim(),
    ...versions.flatMap(({ label, weight, bento, services, edges }) => [
      `version ${label} ${weight} % ${bento ?? ""}`.trim(),
      ...edges.map(({ caller, callee, transport }) => `${caller} -> ${callee} by ${transport}`),
      ...services.flatMap(serviceLines),
    ]),
    ...line("", "rollback", rollback),
    ...rollbackPermissions.map((permission) => `rollback may ${permissionText(permission)}`),
  ];
}

function serviceLines(service: ServicePlan): string[] {
  const { name, kind, permissions, queue, environment, ...rest } = service;
  const { permissions: ofQueue = [], ...queueFunction } = (kind === "function" && service.queueFunction) || {};
  return [
    `${kind} ${name}`,
    ...Object.entries(rest).flatMap(([key, value]) => (key === "queueFunction" ? [] : line("  ", key, value))),
    ...(ofQueue.length > 0 ? line("  ", "queueFunction", queueFunction) : []),
    ...ofQueue.map((permission) => `  queue function may ${permissionText(permission)}`),
    ...(queue ? queueLines(queue) : []),
    ...Object.entries(environment).map(([variable, value]) => `  env ${variable} = ${value}`),
    ...permissions.map((permission) => `  may ${permissionText(permission)}`),
  ];
}

function queueLines({ deadLetterFunction, deadLetterPermissions, ...queue }: QueuePlan): string[] {
  return [
    ...line("  ", "queue", queue),
    ...line("  ", "dead letters", { handler: deadLetterFunction.handler, timeout: deadLetterFunction.timeout }),
    ...deadLetterPermissions.map((permission) => `  dead letters may ${permissionText(permission)}`),
  ];
}

export function permissionText({ actions, on }: Permission): string {
  return `${actions.join(" ")} on ${Object.values(on).join(" ")}`;
}

function line(indent: string, key: string, value: unknown): string[] {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined || text === "[]"
    ? []
    : [`${indent}${key}: ${text.replaceAll('"', "").replaceAll(",", ", ")}`];
}
