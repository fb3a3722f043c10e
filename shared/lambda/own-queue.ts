import type { AppOptions } from "../http/app.ts";
import type { Service } from "../service/contract.ts";
import { lazyStore } from "../store/lazy-store.ts";
import type { SqsLocation } from "../transport/location.ts";
import type { QueueUses } from "./queue-uses.ts";

/**
 * What a service's HTTP face offers because it has a queue: tasks, and calls with a key that run once. Nothing is opened,
 * and neither the SDK nor the code of tasks and calls loaded, before it is needed: a function's start has no time for it.
 */
export function ownQueue(
  service: Service,
  location: SqsLocation,
): Required<Pick<AppOptions, "tasks" | "ownQueue" | "store">> {
  const store = lazyStore(location.storeUrl);
  let opened: Promise<QueueUses> | undefined;
  const open = (): Promise<QueueUses> => {
    opened ??= import("./queue-uses.ts").then(({ queueUses }) => queueUses(service, location, store));
    return opened;
  };
  return {
    store,
    tasks: {
      service,
      submit: async (...args) => (await open()).tasks.submit(...args),
      status: async (...args) => (await open()).tasks.status(...args),
      result: async (...args) => (await open()).tasks.result(...args),
      cancel: async (...args) => (await open()).tasks.cancel(...args),
      retry: async (...args) => (await open()).tasks.retry(...args),
      events: async (...args) => (await open()).tasks.events(...args),
    },
    ownQueue: { call: async (call) => (await open()).keyed.call(call) },
  };
}
