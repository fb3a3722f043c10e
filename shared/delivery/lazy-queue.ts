import type { MessageQueue } from "./message-queue.ts";
import { openSqsQueue } from "./open-queue.ts";

/** A queue of SQS's that is opened, and the SDK loaded, when it is first used. */
export function lazyQueue(url: string): MessageQueue {
  let opened: Promise<MessageQueue> | undefined;
  const open = (): Promise<MessageQueue> => {
    opened ??= openSqsQueue(url);
    return opened;
  };
  return {
    url,
    send: async (...args) => (await open()).send(...args),
    receive: async (...args) => (await open()).receive(...args),
    extend: async (...args) => (await open()).extend(...args),
    delete: async (...args) => (await open()).delete(...args),
    depth: async (...args) => (await open()).depth(...args),
    settings: async (...args) => (await open()).settings(...args),
    purge: async () => (await open()).purge(),
    close: async () => (await opened)?.close(),
  };
}
