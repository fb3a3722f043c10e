import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readConfigText } from "#shared/config/load.ts";
import type { PlanFlags } from "../plan/flags.ts";

/** What a deployment was made from, as its author wrote it: `update` begins with it. */
export interface Source {
  /** What config-file.yaml says. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly flags: PlanFlags;
}

/**
 * Reads what a plan is made from. Faults are the planner's to find: here the file is taken as it is.
 * @param configFile by default the project's own; where `name` is given, that of a deployment that is there already, none.
 */
export async function readSource(
  folder: string,
  configFile: string | undefined,
  flags: PlanFlags = {},
  name?: string,
): Promise<Source> {
  const own = join(folder, "config-file.yaml");
  const path = configFile ?? (name === undefined && existsSync(own) ? own : undefined);
  const config: unknown = path === undefined ? {} : readConfigText(await readFile(path, "utf8"), path);
  return { config: isMapping(config) ? config : {}, flags };
}

/** One source over another: mappings are merged, everything else is replaced, flags of the same kind come after. */
export function mergeConfig(before: Source, after: Source): Source {
  return {
    config: merged(before.config, after.config) as Source["config"],
    flags: {
      scalingMin: [...(before.flags.scalingMin ?? []), ...(after.flags.scalingMin ?? [])],
      scalingMax: [...(before.flags.scalingMax ?? []), ...(after.flags.scalingMax ?? [])],
      instanceType: [...(before.flags.instanceType ?? []), ...(after.flags.instanceType ?? [])],
      env: [...(before.flags.env ?? []), ...(after.flags.env ?? [])],
    },
  };
}

function merged(before: unknown, after: unknown): unknown {
  if (!isMapping(before) || !isMapping(after)) return after;
  const members = Object.entries(after).map(([key, value]) => [
    key,
    key in before ? merged(before[key], value) : value,
  ]);
  return { ...before, ...Object.fromEntries(members) };
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
