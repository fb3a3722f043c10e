import type { ObjectStore } from "./object-store.ts";
import { openStore } from "./open-store.ts";

/** A store that is opened, and the SDK loaded where it needs that, when it is first used. */
export function lazyStore(url: string): ObjectStore {
  let opened: Promise<ObjectStore> | undefined;
  const open = (): Promise<ObjectStore> => {
    opened ??= openStore(url);
    return opened;
  };
  return {
    put: async (...args) => (await open()).put(...args),
    get: async (...args) => (await open()).get(...args),
    has: async (...args) => (await open()).has(...args),
    delete: async (...args) => (await open()).delete(...args),
    list: async (...args) => (await open()).list(...args),
    close: async () => (await opened)?.close(),
  };
}
