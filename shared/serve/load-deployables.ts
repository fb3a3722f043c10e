import { pathToFileURL } from "node:url";
import { type Deployable, isDeployable } from "../service/deployable.ts";

/** A project's module, `service.ts`: all that it exports, and its services by their names. */
export interface LoadedModule {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly deployables: ReadonlyMap<string, Deployable>;
}

/** Loads a project's module. Implementations are loaded when they are started. */
export async function loadDeployables(modulePath: string): Promise<LoadedModule> {
  const exports = (await import(pathToFileURL(modulePath).href)) as Record<string, unknown>;
  const deployables = Object.values(exports).filter(isDeployable);
  return { exports, deployables: new Map(deployables.map((deployable) => [deployable.service.name, deployable])) };
}
