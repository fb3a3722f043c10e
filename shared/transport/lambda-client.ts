import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import pRetry from "p-retry";
import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import { ServiceError } from "../errors/service-error.ts";
import { ClaimChecks } from "../lambda/claim-checks.ts";
import {
  acceptItems,
  alignedBytes,
  base64Of,
  type Invocation,
  type InvocationAnswer,
  MAX_FRAME_BYTES,
  PROBE,
} from "../lambda/invocation.ts";
import {
  FunctionFailed,
  type OpenFunction,
  openLambdaFunction,
  type RemoteFunction,
  StreamingRefused,
} from "../lambda/remote-function.ts";
import { type Boundary, boundaryOf } from "./boundary.ts";
import { decodeItems } from "./frame-items.ts";
import type { LambdaLocation } from "./location.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

const MAX_ANSWER_BYTES = 2 ** 30;
const MAX_JSON_BYTES = 2 ** 23;
/** `{`: an item starts with its kind, a small number. */
const JSON_START = 0x7b;
/** Longest time that a call waits for a function that is throttled or cannot be reached. */
const UNREACHABLE_MS = 60_000;
/** Times that an idempotent call is sent again after it may have run: an input that kills its function must not kill many. */
const MAX_REPEATS = 3;

/**
 * Calls a service by invoking its Lambda function: an input of 6 MB, an answer of as much; what is larger is in the store.
 * An api that streams, and a call whose progress somebody listens to, are invoked with a streamed answer, where that is
 * allowed and the function can: items come as they are made. Elsewhere a stream's items come together, and no progress is
 * heard. A function is never told that its caller has gone: it works until it is done or the call's deadline has passed.
 */
export class LambdaTransport implements Transport {
  readonly kind = "lambda";
  readonly #functionName: string;
  readonly #checks: ClaimChecks;
  readonly #openFunction: OpenFunction;
  #opened: Promise<RemoteFunction> | undefined;
  /** Whether an invocation with a streamed answer is worth trying. */
  #streams = true;

  constructor(service: string, { functionName, storeUrl }: LambdaLocation, openFunction = openLambdaFunction) {
    this.#functionName = functionName;
    this.#checks = new ClaimChecks(service, storeUrl ?? (process.env.TANDEM_STORE || undefined));
    this.#openFunction = openFunction;
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const bound = boundaryOf(call);
    const { stream, idempotent } = call.service.apis[call.api]!;
    let throttled: ServiceError | undefined;
    let reading = false;
    try {
      const carrier = await this.#carrier(encodeFrame(call.input), bound.signal);
      let repeats = 0;
      const output = await pRetry(() => this.#ask(call, carrier, bound.signal), {
        retries: 200,
        minTimeout: 100,
        maxTimeout: 2_000,
        randomize: true,
        maxRetryTime: UNREACHABLE_MS,
        signal: bound.signal,
        shouldRetry: ({ error }) => {
          throttled = isThrottled(error) ? error : undefined;
          if (neverRan(error)) return true;
          return idempotent && mayPass(error) && ++repeats <= MAX_REPEATS;
        },
      });
      if (!stream) return output;
      reading = true;
      return untilEnd(call.service.name, output as AsyncIterable<unknown>, bound);
    } catch (error) {
      if (bound.signal.aborted) {
        // It has not run once: its caller may well try again, which DEADLINE_EXCEEDED does not say.
        if (throttled && call.deadline <= Date.now()) throw throttled.raisedBy(call.service.name);
        throw bound.signal.reason;
      }
      throw ServiceError.is(error) ? error.raisedBy(call.service.name) : error;
    } finally {
      if (!reading) bound.release();
    }
  }

  /** Invokes the function: it has to start for its answer where none of its instances is warm. */
  async ready(signal: AbortSignal): Promise<boolean> {
    try {
      const { payload, functionError } = await (await this.#open()).invoke(JSON.stringify(PROBE), signal);
      return !functionError && (parsed(payload) as { ready?: unknown }).ready === true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    this.#opened = undefined;
    opened?.close();
    await this.#checks.close();
  }

  async #open(): Promise<RemoteFunction> {
    this.#opened ??= this.#openFunction(this.#functionName);
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  async #carrier({ chunks, byteLength }: Frame, signal: AbortSignal): Promise<Pick<Invocation, "frame" | "stored">> {
    if (byteLength <= MAX_FRAME_BYTES) return { frame: base64Of(chunks) };
    const stored = randomUUID();
    await this.#checks.put(stored, "input", chunks, signal);
    return { stored };
  }

  /** @throws ServiceError of the callee with its service's name: of what went wrong on the way, without. */
  async #ask(call: OutgoingCall, carrier: Pick<Invocation, "frame" | "stored">, signal: AbortSignal): Promise<unknown> {
    const { stream } = call.service.apis[call.api]!;
    if (this.#streams && (stream || call.progress)) {
      try {
        return await this.#stream(call, carrier, signal);
      } catch (error) {
        if (!(error instanceof StreamingRefused)) throw error;
        this.#streams = false;
      }
    }
    const remote = await this.#open();
    const { payload, functionError } = await remote.invoke(eventOf(call, carrier, call.accept), signal);
    if (functionError) throw crashed(call.service.name, payload);
    return this.#output(call, payload, signal);
  }

  async #stream(call: OutgoingCall, carrier: Pick<Invocation, "frame" | "stored">, signal: AbortSignal) {
    const { name, apis } = call.service;
    const remote = await this.#open();
    const body = await remote.stream(eventOf(call, carrier, acceptItems(call.accept)), signal);
    const pieces = failuresNamed(name, body)[Symbol.asyncIterator]();
    const first = await pieces.next();
    const all = rejoined(first, pieces);
    // A function that does not stream answers in JSON.
    if (first.done || first.value[0] === JSON_START) return this.#output(call, await wholeOf(name, all), signal);
    const values = valuesOf(name, all, call.progress);
    return apis[call.api]!.stream ? values : await only(values);
  }

  async #output({ service, api, progress }: OutgoingCall, payload: Uint8Array, signal: AbortSignal): Promise<unknown> {
    const { name } = service;
    const answer = parsed(payload) as InvocationAnswer;
    if ("error" in answer) throw ServiceError.fromJSON(answer.error).raisedBy(name);
    let bytes: Uint8Array;
    if ("frame" in answer) bytes = alignedBytes(answer.frame);
    else if ("stored" in answer) bytes = await this.#checks.get(answer.stored, "output", signal);
    else
      throw new ServiceError("INTERNAL", `the answer of ${this.#functionName} is none of a Tandem service's`, {
        service: name,
      });
    return service.apis[api]!.stream ? valuesOf(name, Readable.from([bytes]), progress) : decodeFrame(bytes);
  }
}

function eventOf(
  { api, callId, traceparent, idempotencyKey, deadline }: OutgoingCall,
  carrier: Pick<Invocation, "frame" | "stored">,
  accept: string | undefined,
): string {
  const timeoutMs = Math.max(1, Math.ceil(deadline - Date.now()));
  const event: Invocation = { api, callId, traceparent, idempotencyKey, accept, timeoutMs, ...carrier };
  return JSON.stringify(event);
}

async function* rejoined(
  first: IteratorResult<Uint8Array, unknown>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let piece = first; !piece.done; piece = await rest.next()) yield piece.value;
  } finally {
    await rest.return?.();
  }
}

async function wholeOf(service: string, body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
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

async function* failuresNamed(service: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw error instanceof FunctionFailed ? crashed(service, Buffer.from(error.details)) : error;
  }
}

async function* untilEnd(service: string, values: AsyncIterable<unknown>, bound: Boundary): AsyncGenerator<unknown> {
  try {
    yield* values;
  } catch (error) {
    if (bound.signal.aborted) throw bound.signal.reason;
    throw ServiceError.is(error) ? error.raisedBy(service) : error;
  } finally {
    bound.release();
  }
}

async function* valuesOf(
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

async function only(values: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const value of values) last = value;
  return last;
}

/** The function died or ran out of time. What it says of that is its log's, and not for a caller. */
function crashed(service: string, payload: Uint8Array): ServiceError {
  const { errorType = "unknown", errorMessage } = parsed(payload) as { errorType?: string; errorMessage?: string };
  const message = `the function of ${service} failed (${errorType}); its log has the cause`;
  return new ServiceError("INTERNAL", message, { service, cause: new Error(errorMessage) });
}

/** The payload's JSON, as far as it is an object. */
function parsed(payload: Uint8Array): object {
  try {
    const json: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}

function isThrottled(error: unknown): error is ServiceError {
  return ServiceError.is(error) && error.code === "RESOURCE_EXHAUSTED" && error.service === undefined;
}

/** Whether nothing of the call has reached the function: Lambda throttled it, or there was no connection. */
function neverRan(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
  return isThrottled(error) || /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/.test(String(code));
}

function mayPass(error: unknown): boolean {
  return ServiceError.is(error) && error.code === "UNAVAILABLE" && error.service === undefined;
}
