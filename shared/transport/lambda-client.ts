import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import pRetry from "p-retry";
import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import { ServiceError } from "../errors/service-error.ts";
import { ClaimChecks } from "../lambda/claim-checks.ts";
import { alignedBytes, base64Of, type Invocation, type InvocationAnswer, PROBE } from "../lambda/invocation.ts";
import { MAX_FRAME_BYTES } from "../lambda/invocation-limits.ts";
import { type OpenFunction, openLambdaFunction, type RemoteFunction } from "../lambda/remote-function.ts";
import { boundaryOf } from "./boundary.ts";
import { decodeItems } from "./frame-items.ts";
import type { LambdaLocation } from "./location.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

const MAX_ANSWER_BYTES = 2 ** 30;
/** Longest time that a call waits for a function that is throttled or cannot be reached. */
const UNREACHABLE_MS = 60_000;
/** Times that an idempotent call is sent again after it may have run: an input that kills its function must not kill many. */
const MAX_REPEATS = 3;

/**
 * Calls a service by invoking its Lambda function: one request, one answer, 6 MB each; what is larger is in the store. A
 * function is not told that its caller has gone: it works until it is done or the call's deadline has passed. Nor is it
 * heard before it is done: no progress, and a stream's items come all at once, so that an api that streams for long, or
 * without an end, is better called over the function's URL (`transport: "http"`).
 */
export class LambdaTransport implements Transport {
  readonly kind = "lambda";
  readonly #functionName: string;
  readonly #checks: ClaimChecks;
  readonly #openFunction: OpenFunction;
  #opened: Promise<RemoteFunction> | undefined;

  constructor(service: string, { functionName, storeUrl }: LambdaLocation, openFunction = openLambdaFunction) {
    this.#functionName = functionName;
    this.#checks = new ClaimChecks(service, storeUrl ?? (process.env.TANDEM_STORE || undefined));
    this.#openFunction = openFunction;
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const bound = boundaryOf(call);
    let throttled: ServiceError | undefined;
    try {
      const carrier = await this.#carrier(encodeFrame(call.input), bound.signal);
      let repeats = 0;
      const answer = await pRetry(() => this.#invoke(call, carrier, bound.signal), {
        retries: 200,
        minTimeout: 100,
        maxTimeout: 2_000,
        randomize: true,
        maxRetryTime: UNREACHABLE_MS,
        signal: bound.signal,
        shouldRetry: ({ error }) => {
          throttled = isThrottled(error) ? error : undefined;
          if (neverRan(error)) return true;
          return call.service.apis[call.api]!.idempotent && mayPass(error) && ++repeats <= MAX_REPEATS;
        },
      });
      return await this.#output(call, answer, bound.signal);
    } catch (error) {
      if (bound.signal.aborted) {
        // It has not run once: its caller may well try again, which DEADLINE_EXCEEDED does not say.
        if (throttled && call.deadline <= Date.now()) throw throttled.raisedBy(call.service.name);
        throw bound.signal.reason;
      }
      throw ServiceError.is(error) ? error.raisedBy(call.service.name) : error;
    } finally {
      bound.release();
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

  async #invoke(
    { service, api, callId, traceparent, idempotencyKey, accept, deadline }: OutgoingCall,
    carrier: Pick<Invocation, "frame" | "stored">,
    signal: AbortSignal,
  ): Promise<InvocationAnswer> {
    const remote = await this.#open();
    const timeoutMs = Math.max(1, Math.ceil(deadline - Date.now()));
    const event: Invocation = { api, callId, traceparent, idempotencyKey, accept, timeoutMs, ...carrier };
    const { payload, functionError } = await remote.invoke(JSON.stringify(event), signal);
    if (functionError) throw crashed(service.name, payload);
    return parsed(payload) as InvocationAnswer;
  }

  async #output({ service, api, progress }: OutgoingCall, answer: InvocationAnswer, signal: AbortSignal) {
    const { name } = service;
    if ("error" in answer) throw ServiceError.fromJSON(answer.error);
    let bytes: Uint8Array;
    if ("frame" in answer) bytes = alignedBytes(answer.frame);
    else if ("stored" in answer) bytes = await this.#checks.get(answer.stored, "output", signal);
    else throw new ServiceError("INTERNAL", `the answer of ${this.#functionName} is none of a Tandem service's`);
    return service.apis[api]!.stream ? valuesOf(name, bytes, progress) : decodeFrame(bytes);
  }
}

async function* valuesOf(
  service: string,
  bytes: Uint8Array,
  progress: OutgoingCall["progress"],
): AsyncGenerator<unknown> {
  for await (const item of decodeItems(Readable.from([bytes]), MAX_ANSWER_BYTES)) {
    if (item.kind === "value") yield item.value;
    else if (item.kind === "progress") progress?.(item.fraction, item.preview);
    else if (item.kind === "error") throw item.error.raisedBy(service);
  }
}

/** The function died or ran out of time. What it says of that is its log's, and not for a caller. */
function crashed(service: string, payload: Uint8Array): ServiceError {
  const { errorType = "unknown", errorMessage } = parsed(payload) as { errorType?: string; errorMessage?: string };
  const message = `the function of ${service} failed (${errorType}); its log has the cause`;
  return new ServiceError("INTERNAL", message, { cause: new Error(errorMessage) });
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
  return ServiceError.is(error) && error.code === "RESOURCE_EXHAUSTED";
}

/** Whether nothing of the call has reached the function: Lambda throttled it, or there was no connection. */
function neverRan(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
  return isThrottled(error) || /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/.test(String(code));
}

function mayPass(error: unknown): boolean {
  return ServiceError.is(error) && error.code === "UNAVAILABLE";
}
