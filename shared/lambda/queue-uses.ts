import type { KeyedQueue } from "../delivery/keyed-calls.ts";
import { lazyQueue } from "../delivery/lazy-queue.ts";
import type { Service } from "../service/contract.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { Tasks } from "../task/tasks.ts";
import type { SqsLocation } from "../transport/location.ts";
import { SqsTransport } from "../transport/sqs-client.ts";

/** What a service's own queue is used for. */
export interface QueueUses {
  readonly tasks: Tasks;
  /** For calls with an idempotency key. */
  readonly keyed: KeyedQueue;
}

/** Nothing is opened, and the SDK not loaded, before it is needed. */
export function queueUses(service: Service, location: SqsLocation, store: ObjectStore): QueueUses {
  const { queueUrl, priorityQueueUrl } = location;
  const tasks = new Tasks({
    service,
    store,
    queue: lazyQueue(queueUrl),
    ...(priorityQueueUrl !== undefined && { priorityQueue: lazyQueue(priorityQueueUrl) }),
  });
  return { tasks, keyed: new SqsTransport(service.name, location) };
}
