import type { ConfigFile, ServiceConfig } from "#shared/config/config-file.ts";
import { nearest } from "#shared/config/suggest.ts";

/** What flags say instead of config-file.yaml. Those of a service are for the entry, as BentoML has it, or for `SERVICE=`. */
export interface PlanFlags {
  readonly name?: string | undefined;
  /** `2`, or `SDXLControlNetService=2`. */
  readonly scalingMin?: readonly string[] | undefined;
  readonly scalingMax?: readonly string[] | undefined;
  /** `gpu.l4.1`, or `SDXLControlNetService=gpu.l4.1`. */
  readonly instanceType?: readonly string[] | undefined;
  /** `NAME=value` for every service, or `SDXLControlNetService=NAME=value`. */
  readonly env?: readonly string[] | undefined;
}

/** A flag that cannot be used. */
export class FlagError extends Error {
  override readonly name = "FlagError";
}

/**
 * The config file with flags over it.
 * @param services names of those that are deployed, the entry last.
 * @throws FlagError for a value that the field cannot have, and for a service that is not deployed.
 */
export function withFlags(config: ConfigFile, flags: PlanFlags, services: readonly string[]): ConfigFile {
  let changed = config;
  const change = (service: string, how: (config: ServiceConfig) => ServiceConfig): void => {
    const own = changed.services?.[service] ?? {};
    changed = { ...changed, services: { ...changed.services, [service]: how(own) } };
  };
  const replicas = (flag: string, values: readonly string[] = [], field: "min_replicas" | "max_replicas"): void => {
    for (const text of values) {
      const { service, value } = ofService(flag, text, services);
      const count = wholeNumber(flag, value, field === "min_replicas" ? 0 : 1);
      change(service, (own) => ({ ...own, scaling: { ...own.scaling, [field]: count } }));
    }
  };
  replicas("--scaling-min", flags.scalingMin, "min_replicas");
  replicas("--scaling-max", flags.scalingMax, "max_replicas");
  for (const text of flags.instanceType ?? []) {
    const { service, value } = ofService("--instance-type", text, services);
    change(service, (own) => ({ ...own, instance_type: value }));
  }
  for (const text of flags.env ?? []) {
    const { service, name, value } = variableOf(text, services);
    if (service === undefined) changed = { ...changed, envs: replaced(changed.envs, name, value) };
    else change(service, (own) => ({ ...own, envs: replaced(own.envs, name, value) }));
  }
  return flags.name === undefined ? changed : { ...changed, name: checkedName(flags.name) };
}

/** Names of variables that flags give every service. */
export function namesGiven({ env = [] }: PlanFlags, services: readonly string[]): string[] {
  return env.map((text) => variableOf(text, services)).flatMap(({ service, name }) => (service ? [] : [name]));
}

function ofService(flag: string, text: string, services: readonly string[]): { service: string; value: string } {
  const [, service = services.at(-1)!, value = text] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (services.includes(service)) return { service, value };
  const near = nearest(service, services);
  const hint = near ? `did you mean ${near}? ` : "";
  throw new FlagError(`${flag} ${text}: no service ${service} is deployed; ${hint}there are ${services.join(", ")}`);
}

function variableOf(text: string, services: readonly string[]): { service?: string; name: string; value: string } {
  const [, first, rest] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (first === undefined || rest === undefined) throw new FlagError(`--env ${text}: must be NAME=value`);
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(rest) ?? [];
  const isService = services.includes(first) && name !== undefined && value !== undefined;
  const variable = isService ? { service: first, name, value } : { name: first, value: rest };
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable.name))
    throw new FlagError(`--env ${text}: ${variable.name} is no name of a variable, nor of a service`);
  return variable;
}

function replaced(list: ConfigFile["envs"] = [], name: string, value: string): NonNullable<ConfigFile["envs"]> {
  return [...list.filter((variable) => variable.name !== name), { name, value }];
}

function wholeNumber(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!(text !== "" && Number.isInteger(value) && value >= least))
    throw new FlagError(`${flag} ${text}: must be a whole number from ${least}`);
  return value;
}

function checkedName(name: string): string {
  if (/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new FlagError(`--name ${name}: must be small letters, digits and hyphens, a letter first, at most 63`);
}
