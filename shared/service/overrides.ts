import * as z from "zod/mini";
import { named } from "./contract.ts";
import type { Deployable } from "./deployable.ts";

/** What `TANDEM_OVERRIDES` holds: made when there is something to check, for it takes a part of a function's start. */
export function overridesSchema() {
  const whole = z.optional(z.int().check(z.minimum(1)));
  return z.strictObject({
    /** Seconds. */
    timeout: z.optional(z.number().check(z.positive())),
    maxConcurrency: whole,
    concurrency: whole,
    /** What the service's queue was made with. */
    maxReceiveCount: whole,
    /** Seconds. */
    visibilityTimeout: whole,
  });
}

/** What a deployment says of a service instead of its contract, and of its queue. */
export type Overrides = z.infer<ReturnType<typeof overridesSchema>>;

/**
 * Reads `TANDEM_OVERRIDES`: JSON such as `{"timeout":600,"maxConcurrency":20,"concurrency":1,"maxReceiveCount":3}`.
 * @throws TypeError when it is set and is not that.
 */
export function overridesFromEnvironment(text: string | undefined = process.env.TANDEM_OVERRIDES): Overrides {
  if (!text) return {};
  try {
    return overridesSchema().parse(JSON.parse(text));
  } catch (cause) {
    throw new TypeError(`TANDEM_OVERRIDES must be JSON such as {"timeout":600,"maxConcurrency":20}`, { cause });
  }
}

/** The deployable that a deployment runs: its service has the traffic of `TANDEM_OVERRIDES`, where that gives some. */
export function overridden(deployable: Deployable, overrides: Overrides = overridesFromEnvironment()): Deployable {
  const { service } = deployable;
  const traffic = {
    timeout: overrides.timeout ?? service.traffic.timeout,
    maxConcurrency: overrides.maxConcurrency ?? service.traffic.maxConcurrency,
    concurrency: overrides.concurrency ?? service.traffic.concurrency,
  };
  return { ...deployable, service: named(service.name, service, { traffic }) };
}
