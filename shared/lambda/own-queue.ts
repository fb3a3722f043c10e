import { lazyQueue } from "../delivery/lazy-queue.ts";
import type { AppOptions } from "../http/app.ts";
import type { Service } from "../service/contract.ts";
import { lazyStore } from "../store/lazy-store.ts";
import { Tasks } from "../task/tasks.ts";
import { locationsFromEnvironment } from "../transport/location.ts";
import { SqsTransport } from "../transport/sqs-client.ts";

/**
 * What a service's HTTP face offers because it has a queue: tasks, and calls with a key that run once. `TANDEM_SERVICES`
 * says so of the service itself: `{"transport": "sqs", "queueUrl", "priorityQueueUrl", "storeUrl"}`. Nothing is opened,
 * and the SDK not loaded, before it is needed. Undefined where there is no queue.
 */
export function ownQueue(service: Service): Required<Pick<AppOptions, "tasks" | "ownQueue" | "store">> | undefined {
  const location = locationsFromEnvironment()[service.name];
  if (location?.transport !== "sqs") return undefined;
  const { queueUrl, priorityQueueUrl, storeUrl } = location;
  const store = lazyStore(storeUrl);
  const tasks = new Tasks({
    service,
    store,
    queue: lazyQueue(queueUrl),
    ...(priorityQueueUrl !== undefined && { priorityQueue: lazyQueue(priorityQueueUrl) }),
  });
  return { tasks, store, ownQueue: new SqsTransport(service.name, location) };
}
