import { randomUUID } from "node:crypto";
import { decodeFrame, encodeFrame } from "../codec/frame.ts";
import { jsonForm } from "../codec/json-form.ts";
import type { Calls } from "../delivery/keyed-calls.ts";
import { ServiceError } from "../errors/service-error.ts";
import { withUploads } from "../http/upload-references.ts";
import type { UploadReader } from "../http/uploads.ts";
import type { IncomingCall } from "../service/host.ts";
import { encodeItem } from "../transport/frame-items.ts";
import { callItems } from "../transport/frame-server.ts";
import type { ClaimChecks } from "./claim-checks.ts";
import { alignedBytes, base64Of, type Invocation, type InvocationAnswer, parseInvocation } from "./invocation.ts";
import { MAX_FRAME_BYTES, MAX_INLINE_BYTES } from "./invocation-limits.ts";
import { withArrays } from "./json-input.ts";
import { callDeadline, type LambdaContext } from "./lambda-context.ts";

/** Bytes of a stream that are gathered for an answer, where there is a store for them. */
const MAX_GATHERED_BYTES = 2 ** 26;
const FRAME_MAGIC = "TDM1";

/**
 * Runs the call of an `Invoke` event. An api that streams is answered with all its items at once: `Invoke` carries one
 * payload. Never throws: an error is an answer.
 */
export async function answerInvocation(
  calls: Calls,
  event: unknown,
  context: LambdaContext,
  checks: ClaimChecks,
  uploads?: UploadReader,
): Promise<InvocationAnswer> {
  try {
    const question = parseInvocation(event);
    const { callId, traceparent, idempotencyKey, accept, timeoutMs } = question;
    const deadline = callDeadline(calls.service, context, timeoutMs);
    const incoming = { deadline, callId, traceparent, idempotencyKey, accept };
    const id = question.stored ?? randomUUID();
    const input = await inputOf(calls, question, checks, uploads);
    if (!input.framed) return await answerJson(calls, question.api, input.value, incoming, id, checks);
    const { chunks, byteLength } = await framesOf(calls, question.api, input.value, incoming, checks);
    if (byteLength <= MAX_FRAME_BYTES) return { frame: base64Of(chunks) };
    await checks.put(id, "output", chunks);
    return { stored: id };
  } catch (error) {
    return { error: ServiceError.from(error).toJSON() };
  }
}

/** The input that an invocation carries, or that is stored for it. `framed` says in which form the answer goes. */
export async function inputOf(
  { service }: Calls,
  { api, input, frame, stored }: Invocation,
  checks: ClaimChecks,
  uploads?: UploadReader,
): Promise<{ value: unknown; framed: boolean }> {
  const schema = Object.hasOwn(service.apis, api) ? service.apis[api]!.input : undefined;
  const fromJson = async (json: unknown) => {
    const value = schema ? await withUploads(schema, withArrays(schema, json), uploads) : json;
    return { value, framed: false };
  };
  if (frame !== undefined) return { value: decodeFrame(alignedBytes(frame)), framed: true };
  if (stored === undefined) return fromJson(input ?? {});
  const bytes = Buffer.from((await checks.get(stored, "input")).buffer as ArrayBuffer);
  if (bytes.toString("latin1", 0, FRAME_MAGIC.length) === FRAME_MAGIC)
    return { value: decodeFrame(bytes), framed: true };
  try {
    return await fromJson(JSON.parse(bytes.toString()));
  } catch (cause) {
    if (ServiceError.is(cause)) throw cause;
    throw new ServiceError("INVALID_ARGUMENT", "the stored input is neither a frame nor JSON", { cause });
  }
}

async function framesOf(
  calls: Calls,
  api: string,
  input: unknown,
  incoming: IncomingCall,
  checks: ClaimChecks,
): Promise<{ chunks: Uint8Array[]; byteLength: number }> {
  if (!calls.service.apis[api]?.stream) return encodeFrame(await calls.call(api, input, incoming));
  const gathered = new Gathered(api, checks);
  const chunks: Uint8Array[] = [];
  for await (const item of callItems(calls, api, input, incoming)) {
    const encoded = encodeItem(item);
    for (const { byteLength } of encoded) gathered.add(byteLength);
    chunks.push(...encoded);
  }
  return { chunks, byteLength: gathered.bytes };
}

async function answerJson(
  calls: Calls,
  api: string,
  input: unknown,
  incoming: IncomingCall,
  id: string,
  checks: ClaimChecks,
): Promise<InvocationAnswer> {
  let output = await calls.call(api, input, incoming);
  if (calls.service.apis[api]?.stream) {
    const gathered = new Gathered(api, checks);
    const items: unknown[] = [];
    for await (const item of output as AsyncIterable<unknown>) {
      const json = jsonForm(item);
      gathered.add(JSON.stringify(json).length);
      items.push(json);
    }
    output = items;
  }
  const json = jsonForm(output) ?? null;
  const text = Buffer.from(JSON.stringify(json));
  if (text.byteLength <= MAX_INLINE_BYTES) return { output: json };
  await checks.put(id, "output", [text]);
  return { stored: id };
}

/** Counts a stream's bytes, so that one without an end is stopped. */
class Gathered {
  bytes = 0;
  readonly #api: string;
  readonly #most: number;

  constructor(api: string, checks: ClaimChecks) {
    this.#api = api;
    this.#most = checks.usable ? MAX_GATHERED_BYTES : MAX_FRAME_BYTES;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > this.#most)
      throw new ServiceError(
        "PAYLOAD_TOO_LARGE",
        `${this.#api} streams more than ${this.#most} bytes, and an invocation is answered in one piece: call it over the function's URL`,
      );
  }
}
