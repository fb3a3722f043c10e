import { setTimeout as delay } from "node:timers/promises";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { CallObjects, type CallResult } from "#shared/delivery/call-objects.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import type { Rig } from "./rig.ts";

const SETTLED_MS = 120_000;

/** The results that a service's calls have left in the store, by the ids of the calls. */
export async function storedResults(store: ObjectStore, service: string): Promise<Map<string, CallResult>> {
  const objects = new CallObjects(store, service);
  const results = new Map<string, CallResult>();
  const prefix = `${service}/calls/`;
  for (let keys = await store.list(prefix); keys.length > 0; keys = await store.list(prefix, keys.at(-1))) {
    for (const key of keys) {
      const [id, name] = key.slice(prefix.length).split("/") as [string, string];
      if (name === "result") results.set(id, (await objects.result(id))!);
    }
  }
  return results;
}

/**
 * Waits until the queue is empty: duplicates and what dead workers held have been settled, too.
 * @throws Error where it does not become so.
 */
export async function settled({ location, client }: Rig): Promise<void> {
  const queue = new SqsQueue(location.queueUrl, { client });
  const end = Date.now() + SETTLED_MS;
  while (true) {
    const { visible, inFlight, delayed } = await queue.depth();
    if (visible + inFlight + delayed === 0) return;
    if (Date.now() > end) throw new Error(`${visible} messages wait and ${inFlight} are in work after the last call`);
    await delay(200);
  }
}
