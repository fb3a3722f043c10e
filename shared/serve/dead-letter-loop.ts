import { setTimeout as delay } from "node:timers/promises";
import { type CallMessage, encodeMessage } from "../delivery/call-message.ts";
import { CallObjects } from "../delivery/call-objects.ts";
import { answerDeadLetters } from "../delivery/dead-letters.ts";
import type { MessageQueue, OutgoingMessage } from "../delivery/message-queue.ts";
import { log } from "../observability/log.ts";
import type { ObjectStore } from "../store/object-store.ts";

const WAIT_SECONDS = 20;
const AGAIN_MS = 1_000;

export interface DeadLetterLoopOptions {
  service: string;
  /** The service's dead-letter queue. */
  queue: MessageQueue;
  /** Its normal lane. */
  lane: MessageQueue;
  store: ObjectStore;
  /** Deliveries after which a message is given up. */
  tries: number;
}

/** Answers a service's dead letters as they come, for as long as the process lives. */
export async function answerForever({ service, queue, lane, store, tries }: DeadLetterLoopOptions): Promise<never> {
  const objects = new CallObjects(store, service);
  const send = (message: OutgoingMessage): Promise<void> => lane.send(message);
  const announce = (call: CallMessage): Promise<void> => send(encodeMessage({ ...call, kind: "callback" }));
  while (true) {
    try {
      const messages = await queue.receive(10, WAIT_SECONDS);
      const settled = await answerDeadLetters(messages, { service, objects, tries, announce, send });
      if (settled.length > 0) await queue.delete(settled.map(({ handle }) => handle));
    } catch (err) {
      log.warn({ err, service }, "dead letters cannot be received");
      await delay(AGAIN_MS);
    }
  }
}
