import { type Frame, joinFrame } from "../codec/frame.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { OutgoingMessage, ReceivedMessage } from "./message-queue.ts";

/** A call as its message says it. */
export interface CallMessage {
  /** `call` runs an api; `callback` tells a finished task's callback URL. */
  readonly kind: "call" | "callback";
  /** Names the call's objects in the store. */
  readonly id: string;
  readonly api: string;
  /** Id that appears in every service's log. */
  readonly callId: string;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly traceparent: string;
  readonly idempotencyKey?: string | undefined;
  /** Media types the caller prefers for a picture. */
  readonly accept?: string | undefined;
  /** Milliseconds since the epoch until which work must have begun: `maxQueueTime`. */
  readonly startBy?: number | undefined;
  /** Somebody wants to hear of progress. */
  readonly listened?: boolean | undefined;
  /** URL that is told when the call has ended. */
  readonly callback?: string | undefined;
  /** How often the call was sent again to be run with nothing beside it, after deliveries that did not end. */
  readonly alone?: number | undefined;
}

/** Body of a message whose input is in the store. */
const STORED = "stored";
/** Longest frame that travels in the message: base64 makes it a third longer, attributes need room below SQS's 1 MiB. */
export const MAX_INLINE_BYTES = Math.floor(((2 ** 20 - 8192) * 3) / 4);

/** @param input the input's frame where it is small enough to travel along; it is in the store otherwise. */
export function encodeMessage(call: CallMessage, input?: Frame): OutgoingMessage {
  const { kind, id, api, callId, deadline, traceparent, idempotencyKey, ...options } = call;
  return {
    body: input ? joinFrame(input).toString("base64") : STORED,
    attributes: {
      kind,
      id,
      api,
      "call-id": callId,
      deadline: String(deadline),
      traceparent,
      ...(idempotencyKey !== undefined && { "idempotency-key": idempotencyKey }),
      options: JSON.stringify(options),
    },
  };
}

/**
 * @returns the call and its input's frame; the frame is undefined where the input is in the store.
 * @throws ServiceError INVALID_ARGUMENT for a message that is none of ours.
 */
export function decodeMessage({ body, attributes }: ReceivedMessage): { call: CallMessage; input?: Uint8Array } {
  const { kind, id, api, deadline, traceparent = "", options } = attributes;
  const expiry = Number(deadline);
  if ((kind !== "call" && kind !== "callback") || !id || !/^[\w-]+$/.test(id) || !api || !Number.isFinite(expiry))
    throw new ServiceError(
      "INVALID_ARGUMENT",
      "the message lacks kind, id, api or deadline: it is no call of Tandem's",
    );
  const call: CallMessage = {
    ...parsedOptions(options),
    kind,
    id,
    api,
    callId: attributes["call-id"] ?? id,
    deadline: expiry,
    traceparent,
    idempotencyKey: attributes["idempotency-key"],
  };
  return body === STORED ? { call } : { call, input: bytesOf(body) };
}

function parsedOptions(text = "{}"): Pick<CallMessage, "accept" | "startBy" | "listened" | "callback" | "alone"> {
  try {
    return JSON.parse(text) as object;
  } catch (cause) {
    throw new ServiceError("INVALID_ARGUMENT", "the message's options are no JSON", { cause });
  }
}

/** In memory of its own: a frame's views need their buffer's start to be aligned. */
function bytesOf(base64: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(base64, "base64"));
  return bytes.subarray(0, bytes.write(base64, "base64"));
}
