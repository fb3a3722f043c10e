import type { CallProgress } from "../delivery/call-objects.ts";
import { type Eta, remaining, typicalJob } from "../delivery/eta.ts";
import { etaIn, finished, placeNow, type QueueWatch, waiting } from "../delivery/queue-watch.ts";
import { log } from "../observability/log.ts";
import type { Priority } from "../service/context.ts";
import type { TaskRecord } from "./task-record.ts";

/** Where a task stood in the queue when it was submitted. */
export interface TaskPlace {
  /** Calls before it. */
  readonly ahead: number;
  /** Calls that the service's workers had finished. */
  readonly finished: number;
}

/** Tells when tasks will be finished; undefined where nothing is known. Never throws: tasks go without. */
export interface Estimates {
  /** The place of a task that is submitted now. */
  place(priority: Priority): Promise<TaskPlace | undefined>;
  eta(record: TaskRecord, progress: CallProgress | undefined): Promise<Eta | undefined>;
}

/** Estimates from what is seen of the service's queue and workers. */
export function estimatesFrom(watch: QueueWatch): Estimates {
  const snapshot = () =>
    watch.snapshot().catch((err: unknown) => {
      log.debug({ err }, "no estimates: the queue cannot be looked at");
      return undefined;
    });
  return {
    place: async (priority) => {
      const seen = await snapshot();
      return seen && { ahead: waiting(seen, priority), finished: finished(seen) };
    },
    eta: async ({ api, place, priority }, progress) => {
      const seen = await snapshot();
      if (!seen) return undefined;
      if (progress) return remaining(progress, typicalJob(seen.workers, api), Date.now());
      const ahead = place ? placeNow(seen, place, priority) : waiting(seen, priority);
      return etaIn(seen, api, ahead, Date.now());
    },
  };
}
