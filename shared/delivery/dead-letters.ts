import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { type CallMessage, decodeMessage, encodeMessage } from "./call-message.ts";
import type { CallObjects } from "./call-objects.ts";
import type { MessageQueue, OutgoingMessage, ReceivedMessage } from "./message-queue.ts";
import { LEASE_SECONDS } from "./run-watch.ts";

/** A message that was given up, as it is kept: to be looked at, and to be sent again. */
export interface DeadLetter {
  readonly id: string;
  readonly service: string;
  /** Api of the call; undefined where the message was no call. */
  readonly api?: string;
  readonly kind?: CallMessage["kind"];
  readonly callId?: string;
  /** Why nobody tries it any more. */
  readonly reason: string;
  /** Receptions so far, that by the dead-letter queue's reader included. Approximate, as SQS says. */
  readonly receiveCount: number;
  /** Milliseconds since the epoch. */
  readonly sentAt: number;
  /** Milliseconds since the epoch. */
  readonly diedAt: number;
  readonly message: OutgoingMessage;
}

export interface DeadLetterOptions {
  /** Name of the service whose messages these are. */
  readonly service: string;
  readonly objects: CallObjects;
  /** Deliveries after which a message is given up; said in the error where it is known. */
  readonly tries?: number | undefined;
  /** Puts a message on the service's queue that tells a call's callback URL how it ended. */
  readonly announce?: ((call: CallMessage) => Promise<void>) | undefined;
  /** Puts a message on the service's queue. */
  readonly send?: ((message: OutgoingMessage) => Promise<void>) | undefined;
}

/** Times that a call is sent again to be run alone; each may be received as often as any message. */
const MAX_ALONE = 3;

/**
 * Answers messages of a dead-letter queue: a caller that still waits hears UNAVAILABLE, and each message is kept as a
 * {@link DeadLetter}. A call that may have died of another one is sent once more, to be run alone. A call that has its result after all is left alone, and so is one that a worker is at: a message may
 * die of deliveries that others have had. May be repeated for the same message.
 * @returns those that are settled, to be deleted from the queue; the others come again.
 */
export async function answerDeadLetters(
  messages: readonly ReceivedMessage[],
  options: DeadLetterOptions,
): Promise<ReceivedMessage[]> {
  const settled = await Promise.all(
    messages.map(async (message) => {
      try {
        return (await answer(message, options)) ? [message] : [];
      } catch (err) {
        log.warn({ err, message_id: message.messageId }, "a dead letter could not be answered; it comes again");
        return [];
      }
    }),
  );
  return settled.flat();
}

/** Gives false where it is too early to answer. */
async function answer(message: ReceivedMessage, options: DeadLetterOptions): Promise<boolean> {
  const { service, objects } = options;
  const letter = deadLetterOf(message, options);
  const { id, api, kind, callId, reason } = letter;
  if (kind === "call" && (await isRunning(objects, id))) return false;
  if (kind === "call" && (await sentAlone(message, options))) return true;
  // Kept first: if this process dies now, the message comes again and nothing is lost.
  await objects.store.put(keyOf(service, id), [Buffer.from(JSON.stringify(letter))]);
  if (kind === "call") {
    const error = new ServiceError("UNAVAILABLE", reason, { service });
    const ours = await objects.putResult(id, { error: error.toJSON(), finishedAt: letter.diedAt });
    if (!ours && !(await gaveUp(objects, id))) {
      await objects.store.delete(keyOf(service, id));
      log.info({ id, api, call_id: callId }, "a dead letter's call has ended before; its result stands");
      return true;
    }
    const { call } = decodeMessage(message);
    if (call.callback !== undefined) await options.announce?.(call);
  }
  log.error({ service, id, api, call_id: callId, receive_count: letter.receiveCount }, `a dead letter: ${reason}`);
  return true;
}

/**
 * Sends a call again that may be dead only because of another one that was run beside it: its next worker runs nothing else.
 * Gives false where one has done so before, and for a call that has ended, or whose deadline has passed.
 */
async function sentAlone(message: ReceivedMessage, { objects, send }: DeadLetterOptions): Promise<boolean> {
  const { call } = decodeMessage(message);
  const { id, alone = 0, deadline } = call;
  if (!send || alone >= MAX_ALONE || Date.now() >= deadline) return false;
  if ((await objects.wasAlone(id)) || (await objects.hasResult(id))) return false;
  const { attributes } = encodeMessage({ ...call, startBy: undefined, alone: alone + 1 });
  await send({ body: message.body, attributes });
  return true;
}

/** Whether a run of the call has shown signs of life of late. */
async function isRunning(objects: CallObjects, id: string): Promise<boolean> {
  const progress = await objects.progress(id);
  return progress !== undefined && Date.now() - progress.at < LEASE_SECONDS * 1000 && !(await objects.hasResult(id));
}

function deadLetterOf(message: ReceivedMessage, { service, tries }: DeadLetterOptions): DeadLetter {
  const { messageId, body, attributes, receiveCount, sentAt } = message;
  const kept = { service, receiveCount, sentAt, diedAt: Date.now(), message: { body, attributes } };
  const times = tries === undefined ? "all its tries" : `${tries} ${tries === 1 ? "try" : "tries"}`;
  try {
    const { id, api, kind, callId } = decodeMessage(message).call;
    if (kind === "callback") {
      const reason = `the callback of ${id} was given up after ${times}: its URL could not be told`;
      return { ...kept, id: `callback-${id}`, api, kind, callId, reason };
    }
    const reason = `${service}.${api} was given up after ${times}: its worker died or did not come to an end each time`;
    return { ...kept, id, api, kind, callId, reason };
  } catch (error) {
    return { ...kept, id: messageId.replaceAll(/[^\w-]/g, "-") || "unnamed", reason: ServiceError.from(error).message };
  }
}

/** Ids of a service's dead letters, every one that is kept. */
export async function deadLetterIds(store: ObjectStore, service: string): Promise<string[]> {
  const prefix = prefixOf(service);
  const all: string[] = [];
  let page: string[];
  do {
    page = await store.list(prefix, all.at(-1));
    all.push(...page);
  } while (page.length > 0);
  return all.map((key) => key.slice(prefix.length));
}

/** A service's dead letters, one after the other: each may have a megabyte. */
export async function* eachDeadLetter(store: ObjectStore, service: string): AsyncGenerator<DeadLetter> {
  for (const id of await deadLetterIds(store, service)) {
    const bytes = await store.get(keyOf(service, id));
    if (bytes) yield JSON.parse(Buffer.from(bytes).toString()) as DeadLetter;
  }
}

/** What is known of a service's dead letters, without their messages; the oldest first. */
export async function deadLetters(store: ObjectStore, service: string): Promise<Omit<DeadLetter, "message">[]> {
  const known: Omit<DeadLetter, "message">[] = [];
  for await (const { message: _, ...letter } of eachDeadLetter(store, service)) known.push(letter);
  return known.sort((a, b) => a.diedAt - b.diedAt);
}

export interface RedriveOptions {
  readonly objects: CallObjects;
  readonly queue: MessageQueue;
  /** Seconds until the call must have ended. */
  readonly timeout: number;
  /** Seconds until its work must have begun. */
  readonly maxQueueTime?: number | undefined;
}

/**
 * Sends a dead letter again, with a new deadline and without the error that answered it.
 * @returns false where its call has another result by now: then nothing is sent, and the letter is dropped.
 * @throws ServiceError INVALID_ARGUMENT for a message that is no call, whoever sends it; it stays a dead letter.
 */
export async function redriveDeadLetter(letter: DeadLetter, options: RedriveOptions): Promise<boolean> {
  const { objects, queue, timeout, maxQueueTime } = options;
  const now = Date.now();
  const { call } = decodeMessage({ ...letter.message, messageId: "", handle: "", receiveCount: 0, sentAt: 0 });
  const superseded = call.kind === "call" && (await objects.hasResult(call.id)) && !(await gaveUp(objects, call.id));
  if (!superseded) {
    if (call.kind === "call") {
      await objects.deleteResult(call.id);
      await objects.unmarkAlone(call.id);
    }
    const { attributes } = encodeMessage({
      ...call,
      alone: undefined,
      deadline: Math.ceil(now + timeout * 1000),
      startBy: maxQueueTime === undefined ? undefined : Math.ceil(now + maxQueueTime * 1000),
    });
    await queue.send({ body: letter.message.body, attributes });
  }
  await dropDeadLetter(objects.store, letter.service, letter.id);
  return !superseded;
}

/** Forgets a dead letter; what its caller was told stays. */
export async function dropDeadLetter(store: ObjectStore, service: string, id: string): Promise<void> {
  await store.delete(keyOf(service, id));
}

/** Whether a call's result is the one that a dead letter is answered with. */
async function gaveUp(objects: CallObjects, id: string): Promise<boolean> {
  const error = (await objects.result(id))?.error;
  return error?.code === "UNAVAILABLE" && error.error.includes(" was given up after ");
}

function prefixOf(service: string): string {
  return `${service}/dead-letters/`;
}

function keyOf(service: string, id: string): string {
  return prefixOf(service) + id;
}
