import { decodeFrame, encodeFrame } from "../codec/frame.ts";
import type { CallProgress, CallResult } from "../delivery/call-objects.ts";
import type { Priority } from "../service/context.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { TaskPlace } from "./estimates.ts";

/** What is stored of a task beside its call's objects. Times are milliseconds since the epoch. */
export interface TaskRecord {
  readonly id: string;
  readonly api: string;
  readonly createdAt: number;
  /** From here on the task is gone, whatever has become of it. */
  readonly expiresAt: number;
  readonly callId: string;
  readonly traceparent: string;
  /** SHA-256 of the input's frame, hexadecimal. */
  readonly fingerprint: string;
  readonly priority: Priority;
  /** URL that is told when the task has ended. */
  readonly callback?: string;
  /** Media types preferred for a picture. */
  readonly accept?: string;
  readonly idempotencyKey?: string;
  /** Seconds from submission until which it must have ended. */
  readonly timeout?: number;
  /** Seconds from submission until which its work must have begun. */
  readonly maxQueueTime?: number;
  /** Where it stood in the queue at first. */
  readonly place?: TaskPlace;
  /** When its message was on the queue for certain; kept where the task has an idempotency key. */
  readonly sentAt?: number;
}

/** BentoML's states of a task. */
export type TaskState = "pending" | "in_progress" | "completed" | "failed" | "canceled";

/** Names that make no other path of an object's key. */
const ID = /^[\w-]{1,64}$/;

/** The task's record; undefined where none is, or the id cannot be one. */
export async function readRecord(
  store: ObjectStore,
  service: string,
  id: string,
  signal?: AbortSignal,
): Promise<TaskRecord | undefined> {
  if (!ID.test(id)) return undefined;
  const bytes = await store.get(keyOf(service, id), signal);
  return bytes && (decodeFrame(bytes) as TaskRecord);
}

/** Gives false where `ifAbsent` is set and a record was there, which stands. */
export function writeRecord(
  store: ObjectStore,
  service: string,
  record: TaskRecord,
  options: { ifAbsent?: boolean } = {},
): Promise<boolean> {
  return store.put(keyOf(service, record.id), encodeFrame(record).chunks, options);
}

/** A task's state, which nobody writes down: it is what its call's objects say. */
export function stateOf(result: CallResult | undefined, progress: CallProgress | undefined): TaskState {
  if (!result) return progress ? "in_progress" : "pending";
  if (!result.error) return "completed";
  return result.error.code === "CANCELED" ? "canceled" : "failed";
}

/** A time as BentoML writes it: ISO 8601 with its offset from UTC. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

function keyOf(service: string, id: string): string {
  return `${service}/tasks/${id}`;
}
