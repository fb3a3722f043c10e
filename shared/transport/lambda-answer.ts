import { ServiceError } from "../errors/service-error.ts";
import { FunctionFailed } from "../lambda/remote-function.ts";
import { decodeItems } from "./frame-items.ts";
import type { OutgoingCall } from "./transport.ts";

const MAX_ANSWER_BYTES = 2 ** 30;
/** More than any answer in one piece has. */
const MAX_JSON_BYTES = 2 ** 23;

/** A body whose first piece has been looked at. */
export async function* rejoined(
  first: IteratorResult<Uint8Array, unknown>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let piece = first; !piece.done; piece = await rest.next()) yield piece.value;
  } finally {
    await rest.return?.();
  }
}

/** Reads an answer in one piece. @throws ServiceError INTERNAL where it is over what one may have. */
export async function wholeOf(service: string, body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_JSON_BYTES)
      throw new ServiceError("INTERNAL", `the answer of ${service} is over the 6 MB of one in one piece`, { service });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A function's streamed answer, with its failure as that of its service. */
export async function* failuresNamed(service: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw error instanceof FunctionFailed ? crashed(service, Buffer.from(error.details)) : error;
  }
}

/**
 * The values of an answer that is items; progress goes to who listens.
 * @throws ServiceError that ended them, or INTERNAL where the body makes no sense.
 */
export async function* valuesOf(
  service: string,
  body: AsyncIterable<Uint8Array>,
  progress: OutgoingCall["progress"],
): AsyncGenerator<unknown> {
  let failure: ServiceError | undefined;
  try {
    for await (const item of decodeItems(body, MAX_ANSWER_BYTES)) {
      if (item.kind === "value") yield item.value;
      else if (item.kind === "progress") progress?.(item.fraction, item.preview);
      else if (item.kind === "error") failure = item.error;
    }
  } catch (cause) {
    if (ServiceError.is(cause) && cause.code !== "INVALID_ARGUMENT") throw cause;
    throw new ServiceError("INTERNAL", `the answer of ${service} cannot be read`, { service, cause });
  }
  if (failure) throw failure.raisedBy(service);
}

/** The value of an answer that has one. */
export async function only(values: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const value of values) last = value;
  return last;
}

/** The function died or ran out of time. What it says of that is its log's, and not for a caller. */
export function crashed(service: string, payload: Uint8Array): ServiceError {
  const { errorType = "unknown", errorMessage } = parsed(payload) as { errorType?: string; errorMessage?: string };
  const message = `the function of ${service} failed (${errorType}); its log has the cause`;
  return new ServiceError("INTERNAL", message, { service, cause: new Error(errorMessage) });
}

/** The payload's JSON, as far as it is an object. */
export function parsed(payload: Uint8Array): object {
  try {
    const json: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}
