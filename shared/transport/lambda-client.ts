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
  PROBE,
} from "../lambda/invocation.ts";
import { MAX_FRAME_BYTES } from "../lambda/invocation-limits.ts";
import {
  isThrottled,
  neverRan,
  type OpenFunction,
  openLambdaFunction,
  type RemoteFunction,
  StreamingRefused,
} from "../lambda/remote-function.ts";
import { type Boundary, boundaryOf } from "./boundary.ts";
import { crashed, failuresNamed, only, parsed, rejoined, valuesOf, wholeOf } from "./lambda-answer.ts";
import type { LambdaLocation } from "./location.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

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

function mayPass(error: unknown): boolean {
  return ServiceError.is(error) && error.code === "UNAVAILABLE" && error.service === undefined;
}
