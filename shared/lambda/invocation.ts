import * as z from "zod/mini";
import { ITEMS_TYPE } from "../codec/media-types.ts";
import { ServiceError, type ServiceErrorJson } from "../errors/service-error.ts";

export { ITEMS_TYPE };

/** Names the objects of a claim check. */
const storedId = z.string().check(z.regex(/^[\w-]{1,128}$/, "must be letters, digits, - and _"));

/**
 * A call as an `Invoke` event. Exactly one of `input` (JSON), `frame` and `stored` carries the input; with none it is
 * empty. The answer comes in the form that the input came in.
 */
const invocationSchema = z.strictObject({
  api: z.string().check(z.minLength(1)),
  /** Arrays as nested lists or `{dtype, shape, data}`, pictures and bytes as base64. */
  input: z.optional(z.unknown()),
  /** Base64 of the input's frame: what Tandem's own clients send. */
  frame: z.optional(z.string()),
  /** Id of the object `<service>/calls/<id>/input` in the store: a frame, or JSON. */
  stored: z.optional(storedId),
  idempotencyKey: z.optional(z.string()),
  callId: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  traceparent: z.optional(z.string()),
  /** Milliseconds that the caller will wait: relative, so that clocks need not agree. */
  timeoutMs: z.optional(z.number().check(z.positive())),
  /**
   * Media types the caller prefers for a picture, as in an `Accept` header. Before them may stand that of items: the
   * caller takes them as they are made, where the function can stream; where it cannot, it is a type like others.
   */
  accept: z.optional(z.string()),
});

export type Invocation = z.infer<typeof invocationSchema>;

/** Asks whether the service is ready to take calls. */
export const PROBE = { probe: "ready" } as const;

/** What a function answers to an `Invoke`. */
export type InvocationAnswer =
  | { readonly output: unknown }
  /** Base64 of the output's frame; of an api that streams, of its items one after the other. */
  | { readonly frame: string }
  /** Id of the object `<service>/calls/<id>/output` in the store: what was too large to be answered. */
  | { readonly stored: string }
  | { readonly ready: boolean }
  | { readonly error: ServiceErrorJson };

/** @throws ServiceError INVALID_ARGUMENT for an event that is no call. */
export function parseInvocation(event: unknown): Invocation {
  const parsed = invocationSchema.safeParse(event);
  if (!parsed.success)
    throw new ServiceError("INVALID_ARGUMENT", `the event is no call: ${z.prettifyError(parsed.error)}`);
  const { input, frame, stored } = parsed.data;
  if ([input, frame, stored].filter((carrier) => carrier !== undefined).length > 1)
    throw new ServiceError("INVALID_ARGUMENT", "the event has more than one of input, frame and stored");
  const { accept, ...rest } = parsed.data;
  const pictures = wantsItems(parsed.data) ? accept?.slice(ITEMS_TYPE.length).replace(/^, */, "") : accept;
  return { ...rest, ...(pictures && { accept: pictures }) };
}

/** Whether a call's event asks for items as they are made. */
export function wantsItems(event: unknown): boolean {
  const { accept } = event as { accept?: unknown };
  return typeof accept === "string" && (accept === ITEMS_TYPE || accept.startsWith(`${ITEMS_TYPE},`));
}

/** What an event that asks for items has as `accept`. */
export function acceptItems(pictures: string | undefined): string {
  return pictures === undefined ? ITEMS_TYPE : `${ITEMS_TYPE}, ${pictures}`;
}

/** Decodes base64 into memory of its own: a frame's views need their buffer's start to be aligned. */
export function alignedBytes(base64: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(base64, "base64"));
  return bytes.subarray(0, bytes.write(base64, "base64"));
}

export function base64Of(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).toString("base64");
}
