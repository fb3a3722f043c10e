import type { Demand } from "./demand.ts";
import type { PlanReport } from "./plan-report.ts";

/** Seconds that a function may run. */
export const FUNCTION_LIMIT = 900;
/** Seconds that a function gets over its calls' timeout, to answer. */
const MARGIN = 5;
/** Seconds that a message can be hidden, in all: twelve hours. */
const HIDDEN_LIMIT = 43_200;
const DAY = 86_400;
/** Longest that SQS keeps a message. */
const RETENTION_LIMIT = 14 * DAY;

/** A function's own timeout, for calls of so many seconds. */
export function functionTimeout(callTimeout: number): number {
  return Math.min(FUNCTION_LIMIT, Math.ceil(callTimeout) + MARGIN);
}

/**
 * Seconds that a queue keeps messages: a task's deadline is a day away, a call's its timeout; one day more, so that a
 * message past its deadline is answered and not just gone.
 */
export function queueRetention(callTimeout: number): number {
  return Math.min(RETENTION_LIMIT, Math.max(DAY, Math.ceil(callTimeout)) + DAY);
}

/** Warns of callers that give up before their callees, and refuses what a queue cannot hold. */
export function checkTimeouts(demands: readonly Demand[], queued: ReadonlySet<string>, report: PlanReport): void {
  const byName = new Map(demands.map((demand) => [demand.name, demand]));
  for (const demand of demands) {
    const field = demand.override("traffic", "timeout");
    if (queued.has(demand.name) && demand.timeout > HIDDEN_LIMIT)
      report.error(
        field,
        `a call of ${demand.name} may take ${demand.timeout} s, and SQS hides a message for ${HIDDEN_LIMIT} s at most`,
        `write ${HIDDEN_LIMIT} or less, or split the work into several calls`,
      );
    for (const name of demand.dependencies) {
      const callee = byName.get(name)!;
      if (demand.timeout >= callee.timeout) continue;
      const written = callee.config.config_overrides?.traffic?.timeout !== undefined;
      report.warn(
        written ? callee.override("traffic", "timeout") : field,
        `${demand.name} gives a call ${demand.timeout} s, and ${name}, which it calls, may take ${callee.timeout} s: the caller gives up first`,
        callee.timeout <= FUNCTION_LIMIT
          ? `set services.${demand.name}.config_overrides.traffic.timeout to ${callee.timeout} or more`
          : `lower ${name}'s, and submit what takes longer as a task`,
      );
    }
  }
}
