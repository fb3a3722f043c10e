import { readFile } from "node:fs/promises";
import type * as z from "zod";
import { type Bentofile, bentofile } from "./bentofile.ts";
import {
  checkBentofile,
  checkConfigFile,
  checkRequiredVariables,
  checkServiceNames,
  wantedVariables,
} from "./checks.ts";
import { type ConfigFile, configFile } from "./config-file.ts";
import { explain, isMapping } from "./explain.ts";
import { ConfigError, type Fault, type Path, pathText, type Report } from "./faults.ts";
import { memberOf, noteOf } from "./field.ts";
import { readYaml } from "./read-yaml.ts";
import { nearest } from "./suggest.ts";

/** What a file says, and what its author should know of it. */
export interface Loaded<T> {
  config: T;
  warnings: Fault[];
  /**
   * A fault that another found, at what the file says there, or at what is around it where the file does not say it.
   * An error on the value unless `options` say otherwise.
   */
  fault(path: Path, message: string, options?: FaultOptions): Fault;
}

export interface FaultOptions {
  /** What to write instead. */
  hint?: string | undefined;
  severity?: Fault["severity"];
  on?: "key" | "value";
}

/** What the project around a config file has. */
export interface ProjectFacts {
  /** Names of its services. */
  services: readonly string[];
  /** Variables that bentofile.yaml declares without a value, where they must be given now. */
  wanted?: readonly string[];
}

/** Fields of config-file.yaml that are texts even where they look like numbers: values of variables and labels. */
const keepsConfigText = (path: Path): boolean => /(^|\.)(envs|labels)\[\d+\]\.value$/.test(pathText(path));

/** What config-file.yaml says, as its author wrote it: unchecked, durations and quantities as texts. */
export function readConfigText(text: string, file: string): unknown {
  return readYaml(text, file, keepsConfigText).value;
}

/**
 * Reads config-file.yaml.
 * @param file its name in messages.
 * @param project checks names against it; left out, any service may be named.
 * @throws ConfigError with every fault there is.
 */
export function parseConfigFile(text: string, file = "config-file.yaml", project?: ProjectFacts): Loaded<ConfigFile> {
  return load(configFile, text, file, keepsConfigText, (value, report) => {
    checkConfigFile(value, report);
    if (!project) return;
    const { services, wanted = [] } = project;
    checkServiceNames(value, services, (path, message, _, options) => {
      const near = nearest(String(path.at(-1)), services);
      report(path, message, `${near ? `did you mean ${near}? ` : ""}there are ${services.join(", ")}`, options);
    });
    checkRequiredVariables(value, wanted, services, report);
  });
}

/** @throws ConfigError with every fault there is. */
export function parseBentofile(text: string, file = "bentofile.yaml"): Loaded<Bentofile> & { wanted: string[] } {
  const keepsText = (path: Path) => /^(envs\[\d+\]\.value|labels\..+|docker\.env\..+)$/.test(pathText(path));
  const loaded = load(bentofile, text, file, keepsText, checkBentofile);
  return { ...loaded, wanted: wantedVariables(loaded.config) };
}

/** As `parseConfigFile`. */
export async function readConfigFile(path: string, project?: ProjectFacts): Promise<Loaded<ConfigFile>> {
  return parseConfigFile(await readFile(path, "utf8"), path, project);
}

/** As `parseBentofile`. */
export async function readBentofile(path: string): Promise<ReturnType<typeof parseBentofile>> {
  return parseBentofile(await readFile(path, "utf8"), path);
}

function load<S extends z.ZodType>(
  schema: S,
  text: string,
  file: string,
  keepsText: (path: Path) => boolean,
  check: (value: unknown, report: Report) => void,
): Loaded<z.output<S>> {
  const source = readYaml(text, file, keepsText);
  const faults = [...source.faults];
  const faultAt = (path: Path, message: string, options: FaultOptions = {}): Fault => {
    const { hint, severity = "error", on = "value" } = options;
    return source.fault(path, on, { severity, message, ...(hint !== undefined && { hint }) });
  };
  const report: Report = (path, message, hint, options) => faults.push(faultAt(path, message, { ...options, hint }));
  if (source.value === undefined && faults.length > 0) throw new ConfigError(faults);
  const empty = source.value === undefined || source.value === null;
  if (empty) report([], "is empty", undefined, { severity: "warning" });
  const value = empty ? {} : withoutEmpty(withoutExtensions(source.value), [], report);
  const parsed = schema.safeParse(value);
  for (const issue of parsed.error?.issues ?? [])
    for (const { path, on, message, hint } of explain(issue, value, schema)) report(path, message, hint, { on });
  check(value, report);
  warnOfUnused(schema, value, [], report);
  const told = inOrder(faults);
  if (!parsed.success || told.some(({ severity }) => severity === "error")) throw new ConfigError(told);
  return { config: parsed.data, warnings: told, fault: faultAt };
}

/** Keys at the top that start with `x-` are the author's, for anchors. */
function withoutExtensions(value: unknown): unknown {
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith("x-")));
}

/**
 * What is given nothing (`envs:`) is taken as not given. A service may be given nothing; who may call must be said.
 */
function withoutEmpty(value: unknown, path: Path, report: Report): unknown {
  if (Array.isArray(value)) return value.map((item, index) => withoutEmpty(item, [...path, index], report));
  if (!isMapping(value)) return value;
  const members = Object.entries(value).map(([key, member]) => {
    const own = [...path, key];
    if (member !== null || pathText(own) === "access_authorization") return [key, withoutEmpty(member, own, report)];
    const isService = path.length === 1 && path[0] === "services";
    if (!isService) report(own, "is empty, and taken as not given", undefined, { severity: "warning", on: "key" });
    return [key, undefined];
  });
  return Object.fromEntries(members);
}

/** Fields that mean nothing here, each once: not again for what is inside. */
function warnOfUnused(schema: z.core.$ZodType, value: unknown, path: Path, report: Report): void {
  const members = Array.isArray(value) ? [...value.entries()] : isMapping(value) ? Object.entries(value) : [];
  for (const [key, member] of members) {
    const inner = memberOf(schema, key);
    if (!inner || member === undefined) continue;
    const warning = noteOf(inner)?.warning;
    if (warning) report([...path, key], warning, undefined, { severity: "warning", on: "key" });
    else warnOfUnused(inner, member, [...path, key], report);
  }
}

/** By place, each once: what an anchor holds is read at every alias. */
function inOrder(faults: readonly Fault[]): Fault[] {
  const seen = new Set<string>();
  return faults
    .filter(({ line, column, message }) => {
      const key = `${line}:${column}:${message}`;
      return !seen.has(key) && seen.add(key);
    })
    .sort((one, other) => one.line - other.line || one.column - other.column);
}
