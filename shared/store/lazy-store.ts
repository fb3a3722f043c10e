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
    size: async (...args) => (await open()).size(...args),
    delete: async (...args) => (await open()).delete(...args),
    list: async (...args) => (await open()).list(...args),
    presigner: async () => (await open()).presigner?.(),
    receive: async (...args) => {
      const store = await open();
      if (!store.receive) throw new TypeError(`the store ${url} is written to by those who have a URL of its own`);
      return await store.receive(...args);
    },
    close: async () => (await opened)?.close(),
  };
}
