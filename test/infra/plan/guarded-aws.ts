import { randomUUID } from "node:crypto";
import type { Permission } from "#infra/plan/deployment-plan.ts";
import type { MessageQueue, OutgoingMessage, ReceivedMessage } from "#shared/delivery/message-queue.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import type { DiskStore } from "#shared/store/disk-store.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { permissionText } from "./planned.ts";

/** Somebody with the permissions of a plan, and what of them was used. */
export class Actor {
  readonly used = new Set<string>();
  readonly denied: string[] = [];
  readonly #allowed: ReadonlySet<string>;

  constructor(permissions: readonly Permission[]) {
    this.#allowed = new Set(permissions.flatMap(({ actions, on }) => actions.map((action) => textOf(action, on))));
  }

  get unused(): string[] {
    return [...this.#allowed].filter((one) => !this.used.has(one)).sort();
  }

  /** As AWS would: what is not allowed is refused. */
  use(action: string, on: Permission["on"]): void {
    const text = textOf(action, on);
    this.used.add(text);
    if (this.#allowed.has(text)) return;
    this.denied.push(text);
    throw new ServiceError("INTERNAL", `AccessDenied: ${text}`);
  }
}

function textOf(action: string, on: Permission["on"]): string {
  return permissionText({ actions: [action], on });
}

const PREFIXES = ["calls/", "tasks/", "workers/", "start-times", "callbacks/", "dead-letters/", "uploads/", "answers/"];

/** The bucket, as an actor sees it. */
export function guardedStore(disk: DiskStore, actor: Actor): ObjectStore {
  const use = (action: string, key: string): void => {
    const [service = "", ...rest] = key.split("/");
    const prefix = PREFIXES.find((one) => rest.join("/").startsWith(one)) ?? rest.join("/");
    actor.use(action, { kind: action === "s3:ListBucket" ? "store-list" : "store", service, prefix });
  };
  // Who may not list is told that an absent object is forbidden.
  const looked = <T>(found: T, isThere: boolean, key: string): T => {
    if (!isThere) use("s3:ListBucket", key);
    return found;
  };
  return {
    put: async (key, chunks, options) => {
      use("s3:PutObject", key);
      const written = await disk.put(key, chunks, options);
      if (!written) use("s3:GetObject", key);
      return written;
    },
    get: async (key, signal) => {
      use("s3:GetObject", key);
      const bytes = await disk.get(key, signal);
      return looked(bytes, bytes !== undefined, key);
    },
    has: async (key, signal) => {
      use("s3:GetObject", key);
      const there = await disk.has(key, signal);
      return looked(there, there, key);
    },
    size: async (key, signal) => {
      use("s3:GetObject", key);
      const size = await disk.size(key, signal);
      return looked(size, size !== undefined, key);
    },
    delete: async (key, signal) => {
      use("s3:DeleteObject", key);
      await disk.delete(key, signal);
    },
    list: async (prefix, after, signal) => {
      use("s3:ListBucket", prefix);
      return await disk.list(prefix, after, signal);
    },
    presigner: async () => ({
      put: async (key) => {
        use("s3:PutObject", key);
        return { url: `https://store.test/${key}`, headers: {} };
      },
      get: async (key) => {
        use("s3:GetObject", key);
        return `https://store.test/${key}`;
      },
    }),
    close: async () => {},
  };
}

export type LaneKind = "queue" | "priority-queue" | "dead-letter-queue";

/** Messages of every lane, by `<service>/<lane>`. */
export class Lanes {
  readonly #lanes = new Map<string, { message: OutgoingMessage; count: number; visibleAt: number; handle: string }[]>();

  of(service: string, kind: LaneKind) {
    const key = `${service}/${kind}`;
    if (!this.#lanes.has(key)) this.#lanes.set(key, []);
    return this.#lanes.get(key)!;
  }

  /** Takes what is visible, as a receiver would. */
  take(service: string, kind: LaneKind, max = 10): ReceivedMessage[] {
    return this.of(service, kind)
      .filter(({ visibleAt }) => visibleAt <= Date.now())
      .slice(0, max)
      .map((held) => {
        held.visibleAt = Date.now() + 30_000;
        held.handle = randomUUID();
        const { message, count, handle } = Object.assign(held, { count: held.count + 1 });
        return { ...message, messageId: handle, handle, receiveCount: count, sentAt: Date.now() - 2_000 };
      });
  }

  /** The lane, as an actor sees it. */
  guarded(service: string, kind: LaneKind, actor: Actor): MessageQueue {
    const use = (action: string): void => actor.use(`sqs:${action}`, { kind, service });
    const lane = this.of(service, kind);
    const find = (handle: string): number => lane.findIndex((held) => held.handle === handle);
    return {
      url: `https://sqs.test/${service}/${kind}`,
      send: async (message) => {
        use("SendMessage");
        lane.push({ message, count: 0, visibleAt: 0, handle: "" });
      },
      receive: async (max) => {
        use("ReceiveMessage");
        const messages = this.take(service, kind, max);
        if (messages.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        return messages;
      },
      extend: async (handles, seconds) => {
        use("ChangeMessageVisibility");
        for (const handle of handles)
          if (find(handle) >= 0) lane[find(handle)]!.visibleAt = Date.now() + seconds * 1000;
        return [];
      },
      delete: async (handles) => {
        use("DeleteMessage");
        for (const handle of handles) if (find(handle) >= 0) lane.splice(find(handle), 1);
        return [];
      },
      depth: async () => {
        use("GetQueueAttributes");
        return { visible: lane.length, inFlight: 0, delayed: 0 };
      },
      settings: async () => {
        use("GetQueueAttributes");
        return { visibilityTimeout: 30, maxReceiveCount: 3 };
      },
      purge: async () => use("PurgeQueue"),
      close: async () => {},
    };
  }
}
