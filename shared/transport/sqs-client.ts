import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";
import { encodeFrame, type Frame } from "../codec/frame.ts";
import { encodeMessage, MAX_INLINE_BYTES } from "../delivery/call-message.ts";
import { CallObjects, type CallResult, fingerprintOf, keyedId } from "../delivery/call-objects.ts";
import { JobTimes } from "../delivery/job-times.ts";
import type { MessageQueue } from "../delivery/message-queue.ts";
import { type OpenQueue, openSqsQueue } from "../delivery/open-queue.ts";
import { PollSchedule } from "../delivery/poll-schedule.ts";
import { QueueWatch } from "../delivery/queue-watch.ts";
import { WorkerReports } from "../delivery/worker-report.ts";
import type { ErrorCode } from "../errors/codes.ts";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { Api } from "../service/contract.ts";
import { openStore } from "../store/open-store.ts";
import { type Boundary, boundaryOf } from "./boundary.ts";
import { decodeItems, holdsEnd } from "./frame-items.ts";
import type { SqsLocation } from "./location.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

const MAX_ANSWER_BYTES = 2 ** 30;
/** Longest time that a call waits for a queue that cannot be reached: seconds. */
const UNREACHABLE_SECONDS = 60;
/** Longest pause between two looks where somebody listens to progress. */
const LISTENING_MS = 250;
/** A keyed call that shows no sign of life after so long is sent again: who claimed the key may have died before. */
const SILENT_MS = 10_000;
/** A stream's reader looks for a result, which says that its writer has died, this often. */
const STREAM_RESULT_MS = 1_000;

/** What a location names, opened at the first call. */
interface Carriers {
  readonly objects: CallObjects;
  readonly queue: MessageQueue;
  readonly priorityQueue: MessageQueue | undefined;
  readonly reports: WorkerReports;
  readonly watch: QueueWatch;
}

/** A call on its way. */
interface Sent {
  /** The call's objects are under it. */
  readonly id: string;
  /** This caller sent it; otherwise another did that has the same idempotency key. */
  readonly ours: boolean;
  /** When the call ended that is run again: that result is none of this one's. */
  readonly ended?: number | undefined;
}

/**
 * Calls a service through its SQS queue: the message carries the input, or the store does where it is too large; the
 * answer is the result object, looked for until the deadline. At least once: a call may run twice, its result is one.
 */
export class SqsTransport implements Transport {
  readonly kind = "sqs";
  readonly #service: string;
  readonly #location: SqsLocation;
  readonly #openQueue: OpenQueue;
  readonly #roundTrips = new JobTimes();
  readonly #canceling = new Set<Promise<unknown>>();
  #opened: Promise<Carriers> | undefined;

  constructor(service: string, location: SqsLocation, openQueue: OpenQueue = openSqsQueue) {
    this.#service = service;
    this.#location = location;
    this.#openQueue = openQueue;
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const bound = boundaryOf(call);
    let streaming = false;
    try {
      const frame = encodeFrame(call.input);
      const carriers = await this.#open();
      bound.signal.throwIfAborted();
      this.#refuseLate(call, carriers.watch);
      if (!(call.service.apis[call.api] as Api).stream) return await this.#answer(call, frame, carriers, bound.signal);
      const sent = await this.#send(call, frame, carriers, bound.signal);
      streaming = true;
      return this.#stream(call, sent, carriers.objects, bound);
    } catch (error) {
      if (bound.signal.aborted) throw bound.signal.reason;
      throw error;
    } finally {
      if (!streaming) bound.release();
    }
  }

  /** With workers that report: whether one is ready. Without any, calls wait in the queue until one has started. */
  async ready(signal: AbortSignal): Promise<boolean> {
    try {
      const { reports, queue } = await this.#open();
      const workers = await reports.list(signal);
      if (workers.length > 0) return workers.some(({ phase }) => phase === "ready");
      await queue.depth(signal);
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    const carriers = await this.#opened?.catch(() => undefined);
    this.#opened = undefined;
    await Promise.all(this.#canceling);
    await Promise.all([carriers?.objects.store.close(), carriers?.queue.close(), carriers?.priorityQueue?.close()]);
  }

  async #open(): Promise<Carriers> {
    this.#opened ??= this.#openCarriers();
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  async #openCarriers(): Promise<Carriers> {
    const { queueUrl, priorityQueueUrl, storeUrl } = this.#location;
    const [store, queue, priorityQueue] = await Promise.all([
      openStore(storeUrl),
      this.#openQueue(queueUrl),
      priorityQueueUrl === undefined ? undefined : this.#openQueue(priorityQueueUrl),
    ]);
    const reports = new WorkerReports(store, this.#service);
    const watch = new QueueWatch({ queue, ...(priorityQueue && { priorityQueue }), reports });
    return { objects: new CallObjects(store, this.#service), queue, priorityQueue, reports, watch };
  }

  /** Answers at once what the queue would answer too late. */
  #refuseLate({ api, deadline, priority }: OutgoingCall, watch: QueueWatch): void {
    watch.refresh();
    const eta = watch.etaOfNext(api, priority ?? "normal");
    if (!eta || Date.now() + eta.low * 1000 <= deadline) return;
    const message = `${this.#service} has ${eta.ahead} calls before this one; it would be answered in about ${Math.ceil(eta.seconds)} s, after its deadline`;
    throw new ServiceError("RESOURCE_EXHAUSTED", message, {
      service: this.#service,
      retryAfter: Math.max(1, Math.ceil(eta.seconds - (deadline - Date.now()) / 1000)),
    });
  }

  /** Sends a call, unless another caller with its key has, and waits for its result. */
  async #answer(call: OutgoingCall, frame: Frame, carriers: Carriers, signal: AbortSignal): Promise<unknown> {
    while (true) {
      const sent = await this.#send(call, frame, carriers, signal);
      const result = await this.#result(call, sent, carriers.objects, signal);
      // Its sender has died, or has given up, which this caller has not.
      if (!result || (!sent.ours && result.error && GIVEN_UP.has(result.error.code))) continue;
      return outputOf(result, this.#service);
    }
  }

  async #send(call: OutgoingCall, frame: Frame, carriers: Carriers, signal: AbortSignal): Promise<Sent> {
    const { api, idempotencyKey } = call;
    const sent: Sent =
      idempotencyKey === undefined
        ? { id: randomUUID(), ours: true }
        : await this.#claim(keyedId(this.#service, api, idempotencyKey), frame, carriers.objects, signal);
    if (!sent.ours) return sent;
    try {
      await this.#put(call, sent.id, frame, carriers, signal);
    } catch (error) {
      // Its message may have come to the queue all the same, and somebody else may wait for the key.
      const unsent = new ServiceError("CANCELED", "the call could not be sent");
      this.#cancel(sent.id, carriers.objects, signal.aborted ? signal.reason : unsent);
      throw error;
    }
    carriers.watch.sent();
    return sent;
  }

  /** Puts a call on the queue. */
  async #put(call: OutgoingCall, id: string, frame: Frame, carriers: Carriers, signal: AbortSignal): Promise<void> {
    const { objects } = carriers;
    const { api, callId, deadline, traceparent, idempotencyKey, accept, startBy } = call;
    const stored = frame.byteLength > MAX_INLINE_BYTES;
    if (stored) await objects.putInput(id, frame, signal);
    const message = encodeMessage(
      {
        kind: "call",
        id,
        api,
        callId,
        deadline,
        traceparent,
        idempotencyKey,
        accept,
        startBy,
        listened: call.progress !== undefined,
      },
      stored ? undefined : frame,
    );
    const queue = (call.priority === "high" && carriers.priorityQueue) || carriers.queue;
    await pRetry(() => queue.send(message, { signal }), {
      retries: 200,
      minTimeout: 100,
      maxTimeout: 2_000,
      randomize: true,
      maxRetryTime: UNREACHABLE_SECONDS * 1000,
      signal,
      shouldRetry: ({ error }) => ServiceError.is(error) && error.code === "UNAVAILABLE",
    });
  }

  /**
   * Whether a call with a key is to be sent: by the first who brings the key, again where its last run failed for a reason
   * that passes, and where nothing is seen of it.
   * @throws ServiceError CONFLICT when the key came with another input before.
   */
  async #claim(id: string, frame: Frame, objects: CallObjects, signal: AbortSignal): Promise<Sent> {
    const claim = { fingerprint: fingerprintOf(frame), createdAt: Date.now() };
    if (await objects.claimKey(id, claim, signal)) return { id, ours: true };
    const [key, result, progress] = await Promise.all([
      objects.key(id, signal),
      objects.result(id, signal),
      objects.progress(id, signal),
    ]);
    if (key && key.fingerprint !== claim.fingerprint)
      throw new ServiceError("CONFLICT", "the idempotency key was used with another input; use a new key", {
        service: this.#service,
      });
    if (!result) return { id, ours: !progress && key !== undefined && Date.now() - key.createdAt > SILENT_MS };
    if (!result.error || !PASSING.has(result.error.code)) return { id, ours: false };
    // Of several who would run it again one does: another's delete must not meet the new result.
    const ended = result.finishedAt;
    if (!(await objects.claimAgain(id, ended, claim, signal))) {
      const other = await objects.againClaim(id, ended, signal);
      if (!other || Date.now() - other.createdAt <= SILENT_MS) return { id, ours: false, ended };
    }
    await objects.deleteResult(id);
    return { id, ours: true, ended };
  }

  /** The result of a call; undefined where another sent it and it is time to look whether that one is alive. */
  async #result(
    call: OutgoingCall,
    { id, ours, ended }: Sent,
    objects: CallObjects,
    signal: AbortSignal,
  ): Promise<CallResult | undefined> {
    const sentAt = performance.now();
    const expected = this.#roundTrips.of(call.api);
    const schedule = new PollSchedule({ ...(expected && { expected }) });
    const hear = progressReader(call, id, objects);
    try {
      while (true) {
        const pause = schedule.next(performance.now() - sentAt);
        // A timer takes a millisecond at the least.
        if (pause >= 0.5) await delay(hear ? Math.min(pause, LISTENING_MS) : pause, undefined, { signal });
        const lookedAt = performance.now();
        const result = await unlessAway(objects.result(id, signal));
        if (result && result.finishedAt !== ended) {
          if (ours) this.#roundTrips.learn(call.api, readyAfter(result, sentAt, lookedAt) / 1000);
          return result;
        }
        await hear?.(signal);
        if (!ours && performance.now() - sentAt > SILENT_MS) return undefined;
      }
    } catch (error) {
      if (signal.aborted && ours) this.#cancel(id, objects, signal.reason);
      throw error;
    }
  }

  #stream(call: OutgoingCall, { id, ours }: Sent, objects: CallObjects, bound: Boundary): AsyncIterable<unknown> {
    const cancel = (): void => {
      if (ours) this.#cancel(id, objects, bound.signal.reason);
    };
    // At once: a reader may be at its last item for long, or not read at all.
    bound.signal.addEventListener("abort", cancel, { once: true });
    return this.#values(call, id, objects, bound, cancel);
  }

  async *#values(
    call: OutgoingCall,
    id: string,
    objects: CallObjects,
    bound: Boundary,
    cancel: () => void,
  ): AsyncGenerator<unknown> {
    let ended = false;
    try {
      for await (const item of decodeItems(pieces(id, objects, this.#service, bound.signal), MAX_ANSWER_BYTES)) {
        if (item.kind === "value") yield item.value;
        else if (item.kind === "progress") call.progress?.(item.fraction, item.preview);
        else {
          ended = true;
          if (item.kind === "error") throw item.error.raisedBy(this.#service);
        }
      }
    } catch (error) {
      if (bound.signal.aborted) throw bound.signal.reason;
      throw error;
    } finally {
      bound.release();
      if (!ended && !bound.signal.aborted) cancel();
    }
  }

  /** Nobody waits any more: the result that says so stops the work, or keeps it from being begun. */
  #cancel(id: string, objects: CallObjects, reason: unknown): void {
    const error = ServiceError.is(reason) ? reason : new ServiceError("CANCELED", "the caller stopped reading");
    const canceled = objects
      .putResult(id, { error: error.toJSON(), finishedAt: Date.now() })
      .catch((err: unknown) => log.warn({ err, id }, "a call could not be canceled; it runs to its deadline"))
      .finally(() => this.#canceling.delete(canceled));
    this.#canceling.add(canceled);
  }
}

/** How a call ends whose caller waits no more. */
const GIVEN_UP: ReadonlySet<string> = new Set<ErrorCode>(["CANCELED", "DEADLINE_EXCEEDED"]);

/** Codes of failures that say nothing about the input: under the same key the call runs again. */
const PASSING: ReadonlySet<string> = new Set<ErrorCode>([
  "UNAVAILABLE",
  "RESOURCE_EXHAUSTED",
  "CANCELED",
  "DEADLINE_EXCEEDED",
]);

/**
 * Milliseconds from sending until a result was there, rather than until it was seen: looks that come late must not make the
 * next ones later still. Writing it is taken to last as long as reading it; clocks that disagree cost some looks.
 */
function readyAfter({ finishedAt }: CallResult, sentAt: number, lookedAt: number): number {
  const seenAt = performance.now();
  const writtenAt = finishedAt - performance.timeOrigin + (seenAt - lookedAt);
  return Math.min(Math.max(writtenAt, sentAt), seenAt) - sentAt;
}

function outputOf({ output, error }: CallResult, service: string): unknown {
  if (error) throw ServiceError.fromJSON(error).raisedBy(service);
  return output ?? null;
}

/** Tells the call's listener what is new of its progress; undefined where nobody listens. */
function progressReader(
  call: OutgoingCall,
  id: string,
  objects: CallObjects,
): ((signal: AbortSignal) => Promise<void>) | undefined {
  const { progress: tell } = call;
  if (!tell) return undefined;
  let heard = "";
  return async (signal) => {
    const progress = await unlessAway(objects.progress(id, signal));
    if (!progress || progress.sequence === 0) return;
    const name = `${progress.run} ${progress.sequence}`;
    if (name === heard) return;
    heard = name;
    tell(progress.fraction, progress.preview);
  };
}

/** The pieces of a stream, each looked for until it is there. */
async function* pieces(
  id: string,
  objects: CallObjects,
  service: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let index = 0; ; index++) {
    const schedule = new PollSchedule({});
    const started = performance.now();
    let resultAt = started + STREAM_RESULT_MS;
    let piece = await unlessAway(objects.items(id, index, signal));
    while (!piece) {
      await delay(schedule.next(performance.now() - started), undefined, { signal });
      const late = performance.now() > resultAt;
      const result = late ? await unlessAway(objects.result(id, signal)) : undefined;
      piece = await unlessAway(objects.items(id, index, signal));
      if (piece) break;
      if (result) {
        outputOf(result, service);
        throw new ServiceError("INTERNAL", `a piece of ${service}'s stream is missing`, { service });
      }
      if (late) resultAt = performance.now() + STREAM_RESULT_MS;
    }
    yield piece;
    if (holdsEnd(piece)) return;
  }
}

/** A store that is away for a moment is asked again at the next look. */
async function unlessAway<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (!(ServiceError.is(error) && error.code === "UNAVAILABLE")) throw error;
    log.debug({ err: error }, "the store cannot be read; it is asked again");
    return undefined;
  }
}
