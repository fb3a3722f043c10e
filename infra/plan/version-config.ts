import type { Canary, ConfigFile, ServiceConfig } from "#shared/config/config-file.ts";
import { isMapping, valueAt } from "#shared/config/explain.ts";
import type { Path } from "#shared/config/faults.ts";

export type VersionConfig = Canary["versions"][string];

/**
 * config-file.yaml as it is for a canary version, which says only what is different: its fields take the place of the main
 * version's, its variables and secrets come to them.
 */
export function versionConfig(config: ConfigFile, { envs, secrets, services = {} }: VersionConfig): ConfigFile {
  const names = [...new Set([...Object.keys(config.services ?? {}), ...Object.keys(services)])];
  return {
    ...config,
    envs: [...(config.envs ?? []), ...(envs ?? [])],
    secrets: [...new Set([...(config.secrets ?? []), ...(secrets ?? [])])],
    services: Object.fromEntries(
      names.map((name) => [name, overlaid(config.services?.[name] ?? {}, services[name]) as ServiceConfig]),
    ),
  };
}

function overlaid(main: unknown, own: unknown, field?: string): unknown {
  if (own === undefined) return main;
  if (field === "envs" && Array.isArray(main) && Array.isArray(own)) return [...main, ...own];
  // How many workers there are and which GPUs they have is one thing.
  if (field === "workers" || !isMapping(main) || !isMapping(own)) return own;
  const fields = [...new Set([...Object.keys(main), ...Object.keys(own)])];
  return Object.fromEntries(fields.map((name) => [name, overlaid(main[name], own[name], name)]));
}

/**
 * Where a field of {@link versionConfig} stands in the file: with the version where it says it, else where the main one does.
 * What a project of its own asks for and the version does not say is a matter of the project.
 */
export function versionPlace(config: ConfigFile, label: string, version: VersionConfig): (path: Path) => Path {
  const own = ["canary", "versions", label];
  /** An item of a list that the version's items come to. */
  const listed = (list: Path, [index, ...rest]: Path): Path => {
    const main = valueAt(config, list);
    const count = Array.isArray(main) ? main.length : 0;
    return typeof index === "number" && index >= count
      ? [...own, ...list, index - count, ...rest]
      : [...list, index!, ...rest];
  };
  return (path) => {
    const [top, name, field, ...rest] = path;
    if (top === "envs" && path.length > 1) return listed(["envs"], path.slice(1));
    if (top !== "services" || name === undefined) return path;
    if (field === "envs" && rest.length > 0) return listed(["services", name, field], rest);
    if (field !== undefined && valueAt(version, path) !== undefined) return [...own, ...path];
    return version.bento === undefined ? path : [...own, "bento"];
  };
}
