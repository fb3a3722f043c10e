import type { Apis, Service } from "./contract.ts";
import type { Implementation, Lifecycle } from "./implementation.ts";

/** A service together with the way to load its implementation: what `service.ts` exports and a project deploys. */
export interface Deployable<S extends Service = Service> {
  readonly service: S;
  /** Loads the module whose default export is the class. Callers of the service never do. */
  readonly load: () => Promise<{ default: new () => Lifecycle }>;
}

/**
 * Binds a contract to the module whose default export implements it. Does not compile when the class lacks an api or
 * gets one wrong.
 * @example export const ControlNet = deployable(contract, () => import("./functions/services/controlnet.ts"));
 */
export function deployable<S extends Service>(
  service: S,
  load: () => Promise<{ default: new () => Implementation<S> & Apis<S> & Lifecycle }>,
): Deployable<S> {
  return Object.freeze({ service, load });
}

/** Whether a module's export is one. */
export function isDeployable(value: unknown): value is Deployable {
  return typeof value === "object" && value !== null && "service" in value && "load" in value;
}
