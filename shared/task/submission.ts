import { randomUUID } from "node:crypto";
import type { Frame } from "../codec/frame.ts";
import { encodeMessage } from "../delivery/call-message.ts";
import { fingerprintOf, keyedId } from "../delivery/call-objects.ts";
import type { OutgoingMessage } from "../delivery/message-queue.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Priority } from "../service/context.ts";
import { childTraceparent } from "../service/trace.ts";
import type { TaskRecord } from "./task-record.ts";

/** What a submitter may say about a task. */
export interface SubmitOptions {
  callId?: string | undefined;
  traceparent?: string | undefined;
  /** Media types preferred for a picture. */
  accept?: string | undefined;
  /** The same key with the same input is the same task: 255 visible ASCII characters at most. */
  idempotencyKey?: string | undefined;
  /** Seconds from now until which the task must have ended; by default as long as it is kept. */
  timeout?: number | undefined;
  /** Seconds from now until which its work must have begun. */
  maxQueueTime?: number | undefined;
  priority?: Priority | undefined;
  /** URL that is told when the task has ended. */
  callback?: string | undefined;
}

/** @throws ServiceError INVALID_ARGUMENT that names the option. */
export function checkOptions({ idempotencyKey, timeout, maxQueueTime, priority }: SubmitOptions): void {
  if (idempotencyKey !== undefined && !/^[\x21-\x7e]{1,255}$/.test(idempotencyKey))
    throw new ServiceError("INVALID_ARGUMENT", "the Idempotency-Key must be 1 to 255 visible ASCII characters");
  for (const [name, seconds] of Object.entries({ timeout, maxQueueTime }))
    if (seconds !== undefined && !(seconds > 0 && Number.isFinite(seconds)))
      throw new ServiceError("INVALID_ARGUMENT", `${name} must be a number of seconds over 0`);
  if (priority !== undefined && priority !== "high" && priority !== "normal")
    throw new ServiceError("INVALID_ARGUMENT", "the priority must be high or normal");
}

/** The record of a task that begins now. Its id is random, or follows from its idempotency key. */
export function newRecord(
  service: string,
  api: string,
  input: Frame,
  options: SubmitOptions,
  retentionMs: number,
): TaskRecord {
  const { callId, traceparent, priority = "normal", idempotencyKey, ...rest } = options;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return {
    ...given,
    ...lifetime(retentionMs),
    id: idempotencyKey === undefined ? newId() : keyedId(service, api, idempotencyKey),
    api,
    fingerprint: fingerprintOf(input),
    priority,
    callId: callId || randomUUID(),
    traceparent: childTraceparent(traceparent),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}

/** The record of a task that does again what another did. It is a new task: the other's idempotency key stays there. */
export function againRecord(old: TaskRecord, retentionMs: number): TaskRecord {
  const { idempotencyKey: _, sentAt: __, place: ___, ...kept } = old;
  return { ...kept, ...lifetime(retentionMs), id: newId() };
}

/** The message that has a task run. */
export function messageOf(record: TaskRecord): OutgoingMessage {
  const { id, api, callId, createdAt, expiresAt, traceparent, timeout, maxQueueTime } = record;
  const deadline = timeout === undefined ? expiresAt : Math.min(expiresAt, createdAt + timeout * 1000);
  return encodeMessage({
    kind: "call",
    id,
    api,
    callId,
    deadline: Math.ceil(deadline),
    traceparent,
    idempotencyKey: record.idempotencyKey,
    accept: record.accept,
    callback: record.callback,
    startBy: maxQueueTime === undefined ? undefined : Math.ceil(createdAt + maxQueueTime * 1000),
    listened: true,
  });
}

function lifetime(retentionMs: number): Pick<TaskRecord, "createdAt" | "expiresAt"> {
  const createdAt = Date.now();
  return { createdAt, expiresAt: createdAt + retentionMs };
}

function newId(): string {
  return randomUUID().replaceAll("-", "");
}
