import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import type { Demand } from "./demand.ts";
import type { LambdaPlan, QueuePlan } from "./deployment-plan.ts";
import { handlerOf } from "./handlers.ts";
import type { Namer } from "./names.ts";
import { deadLetterFunction } from "./permissions.ts";
import type { PlanReport } from "./plan-report.ts";
import { queueRetention } from "./timeouts.ts";

/** Deliveries after which a message is given up: what the handlers and workers take it for. */
export const MAX_RECEIVE_COUNT = 3;
/** Seconds that a worker with a heartbeat hides a message for. */
const HEARTBEAT_VISIBILITY = 30;
/** As AWS advises for a function that a queue is the event source of: so many of its timeouts. */
const VISIBILITY_IN_TIMEOUTS = 6;
/**
 * Lambda tries a throttled message again until it is visible, which counts as a delivery: a start, which may take longer
 * than estimated, must not use them up.
 */
const VISIBILITY_IN_STARTS = 2;
/** Seconds and MB of the function that answers dead letters: a few requests to the store for each. */
const DEAD_LETTERS = { timeout: 60, memory: 512 } as const;

/**
 * A service's queues.
 * @param worker timeout, and seconds of a start from zero, of the function that works them off; undefined where a worker
 * with a heartbeat does.
 */
export function queuePlan(
  demand: Demand,
  files: HandlerFiles,
  name: Namer,
  worker: { readonly timeout: number; readonly start?: number } | undefined,
  report: PlanReport,
): QueuePlan {
  const service = demand.name;
  const deadLetterFunctionPlan: LambdaPlan = {
    physicalName: name("function", service, "dead-letters"),
    handler: handlerOf(demand, files, "deadLetters", report),
    runtime: "nodejs24.x",
    architecture: "arm64",
    memory: DEAD_LETTERS.memory,
    timeout: DEAD_LETTERS.timeout,
    provisionedConcurrency: 0,
    reservedConcurrency: undefined,
    shift: { type: "all-at-once" },
    inVpc: false,
  };
  return {
    physicalName: name("queue", service, "queue"),
    priorityPhysicalName: name("queue", service, "priority"),
    deadLetterPhysicalName: name("queue", service, "dead-letters"),
    visibilityTimeout: worker ? functionVisibility(worker) : HEARTBEAT_VISIBILITY,
    maxReceiveCount: MAX_RECEIVE_COUNT,
    retention: queueRetention(demand.timeout),
    deadLetterFunction: deadLetterFunctionPlan,
    deadLetterPermissions: deadLetterFunction(service),
  };
}

function functionVisibility({ timeout, start = 0 }: { timeout: number; start?: number }): number {
  return Math.max(VISIBILITY_IN_TIMEOUTS * timeout, VISIBILITY_IN_STARTS * start);
}
