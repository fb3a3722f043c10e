import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";
import { decodeFrame } from "../codec/frame.ts";
import type { ErrorCode } from "../errors/codes.ts";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import { countDelivery, type DeliveryOutcome } from "../observability/metrics.ts";
import { leftQueue } from "../observability/queue.ts";
import type { ServiceHost } from "../service/host.ts";
import { type CallMessage, decodeMessage } from "./call-message.ts";
import type { CallObjects, CallResult } from "./call-objects.ts";
import type { Delivery, Outcome } from "./consumer.ts";
import { LEASE_SECONDS, RunWatch, type RunWatchOptions } from "./run-watch.ts";
import { isSuperseded, runStream } from "./stream-pieces.ts";

/** Hears of runs, and knows how long they take. */
export interface RunObserver {
  started(): void;
  /** @param seconds that the run took; undefined where it failed. */
  finished(api: string, seconds: number | undefined): void;
  /** Seconds that a run takes, once enough have been seen. */
  typical(api: string): { readonly mean: number; readonly deviation: number; readonly count: number } | undefined;
}

export interface CallRunnerOptions extends Partial<RunWatchOptions> {
  readonly host: ServiceHost;
  readonly objects: CallObjects;
  readonly observer?: RunObserver | undefined;
  /** Tells a call's callback URL that it has ended. */
  readonly callback?: ((call: CallMessage) => Promise<void>) | undefined;
  /** Puts a message that tells a callback URL on the service's own queue. */
  readonly announce?: ((call: CallMessage) => Promise<void>) | undefined;
  /** Seconds until a failed delivery's next one; doubled with each. Default 1. */
  readonly backoffSeconds?: number | undefined;
}

/** A message of this age, or delivered before, is looked up before it is run: somebody else may have. */
const YOUNG_MS = 1_000;
const FOLLOW_MS = 2_000;
/** Runs seen before a call is refused because it would take too long. */
const MIN_RUNS = 8;
const CALLBACK_AGAIN_SECONDS = 60;
/** A message that came so often has no dead-letter queue to go to. */
const MANY_DELIVERIES = 10;
/** What has been worked for is not given up because the store or the queue is away for a moment. */
const RETRIES = { retries: 5, minTimeout: 100, maxTimeout: 5_000 };

type Ending = Omit<CallResult, "finishedAt">;

/**
 * Runs calls that come as messages, and stores their results: the first one stands. A call whose deadline has passed, that
 * has waited longer than it may, or that could not finish in time is answered without being run. One that another worker
 * is running is left to it, and taken over when that worker falls silent.
 */
export class CallRunner {
  readonly #options: CallRunnerOptions;
  readonly #running = new Map<string, Promise<unknown>>();

  constructor(options: CallRunnerOptions) {
    this.#options = options;
  }

  /** Handles one message. Never throws. */
  readonly handle = async (delivery: Delivery): Promise<Outcome> => {
    const outcome = await this.#handle(delivery);
    if (outcome !== "done") countDelivery(this.#options.host.service.name, delivery.last ? "dead" : "redelivered");
    return outcome;
  };

  async #handle(delivery: Delivery): Promise<Outcome> {
    let decoded: ReturnType<typeof decodeMessage>;
    try {
      decoded = decodeMessage(delivery.message);
    } catch (err) {
      const { messageId, receiveCount } = delivery.message;
      log.error({ err, message_id: messageId }, "a message is no call; it goes to the dead letters");
      return { againAfter: receiveCount > MANY_DELIVERIES ? this.#backoff(delivery) : 0 };
    }
    const { call, input } = decoded;
    try {
      if (call.kind === "callback") return await this.#callBack(call, delivery);
      return await this.#deliver(call, input, delivery);
    } catch (err) {
      log.warn({ err, id: call.id, api: call.api, call_id: call.callId }, "a delivery failed; the call comes again");
      return { againAfter: this.#backoff(delivery) };
    }
  }

  async #callBack(call: CallMessage, { signal, yieldPlace }: Delivery): Promise<Outcome> {
    // Its receiver may take its time to say nothing, and calls are not to wait for that.
    yieldPlace(true);
    try {
      await untilAborted(this.#options.callback?.(call), signal);
      countDelivery(this.#options.host.service.name, "callback");
      return "done";
    } catch (err) {
      if (signal.aborted) return { againAfter: 0 };
      log.warn({ err, id: call.id }, "a callback URL could not be told");
      return { againAfter: CALLBACK_AGAIN_SECONDS };
    }
  }

  /** Answers a call unless this worker is at it: of several deliveries of one call, one after the other is looked at. */
  async #deliver(call: CallMessage, input: Uint8Array | undefined, delivery: Delivery): Promise<Outcome> {
    const { receiveCount, sentAt } = delivery.message;
    let known = receiveCount > 1 || Date.now() - sentAt > YOUNG_MS;
    for (let twin = this.#running.get(call.id); twin; twin = this.#running.get(call.id)) {
      known = true;
      delivery.yieldPlace();
      await twin.catch(() => undefined);
    }
    const answered = this.#answer(call, input, delivery, known);
    this.#running.set(call.id, answered);
    try {
      return await answered;
    } finally {
      this.#running.delete(call.id);
    }
  }

  /** @param known whether somebody may have begun the call before. */
  async #answer(
    call: CallMessage,
    input: Uint8Array | undefined,
    delivery: Delivery,
    known: boolean,
  ): Promise<Outcome> {
    const { host, objects } = this.#options;
    const { id, api } = call;
    if (known) {
      if (await objects.hasResult(id)) return this.#ended(call);
      const found = await this.#followed(call, delivery);
      if (found === "ended") return this.#ended(call);
      if (found === "stopping") return { againAfter: 0 };
      if (host.service.apis[api]?.stream && (await objects.items(id, 0)))
        return this.#end(call, { error: brokenOff(host.service.name).toJSON() });
    }
    const refusal = this.#refusal(call);
    if (refusal) return this.#end(call, { error: refusal.toJSON() });
    const outcome = await this.#run(call, input, delivery);
    // Kept and waited for: a message that is given back at its last delivery would become a dead letter.
    return outcome === "elsewhere" ? this.#answer(call, input, delivery, true) : outcome;
  }

  /** Waits while another worker's run of the call shows signs of life. */
  async #followed({ id }: CallMessage, { signal, yieldPlace }: Delivery): Promise<"ended" | "free" | "stopping"> {
    const { objects, leaseSeconds = LEASE_SECONDS } = this.#options;
    while (true) {
      const progress = await objects.progress(id);
      if (!progress || Date.now() - progress.at > leaseSeconds * 1000) return "free";
      yieldPlace();
      await delay(FOLLOW_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return "stopping";
      if (await objects.hasResult(id)) return "ended";
    }
  }

  /** Why a call is not worth running. */
  #refusal({ api, deadline, startBy }: CallMessage): ServiceError | undefined {
    const { name } = this.#options.host.service;
    const now = Date.now();
    if (now >= deadline) return new ServiceError("DEADLINE_EXCEEDED", `${name} came to the call after its deadline`);
    if (startBy !== undefined && now > startBy)
      return new ServiceError("DEADLINE_EXCEEDED", `the call waited in ${name}'s queue for longer than it may`);
    const typical = this.#options.observer?.typical(api);
    if (!typical || typical.count < MIN_RUNS) return undefined;
    const least = typical.mean - 2 * typical.deviation;
    if (least * 1000 <= deadline - now) return undefined;
    const left = ((deadline - now) / 1000).toFixed(1);
    const message = `${name}.${api} takes ${typical.mean.toFixed(1)} s and ${left} s are left: the call was not begun`;
    return new ServiceError("DEADLINE_EXCEEDED", message);
  }

  async #run(call: CallMessage, input: Uint8Array | undefined, delivery: Delivery): Promise<Outcome | "elsewhere"> {
    const { host, objects, observer } = this.#options;
    const { id, api, callId, deadline, traceparent, idempotencyKey, accept } = call;
    const alone = await this.#alone(call, delivery);
    if (alone === "again") return { againAfter: 0 };
    const startedAt = Date.now();
    const stream = host.service.apis[api]?.stream ?? false;
    const watch = new RunWatch(objects, id, randomUUID(), delivery.signal, {
      ...this.#options,
      listened: call.listened,
    });
    const incoming = {
      callId,
      deadline,
      traceparent,
      idempotencyKey,
      accept,
      signal: watch.signal,
      attempt: delivery.message.receiveCount,
      waits: true,
      ...((call.listened || stream) && { progress: watch.report }),
    };
    observer?.started();
    leftQueue(host.service.name, call, delivery.message);
    let ending: Ending | undefined;
    let over = true;
    try {
      const bytes = input ?? (await objects.input(id, watch.signal));
      if (!bytes) throw new ServiceError("INTERNAL", "the call's input has expired");
      if (stream) {
        await watch.begin();
        ending = { output: await runStream(host, api, decodeFrame(bytes), incoming, objects, id) };
      } else ending = { output: await host.call(api, decodeFrame(bytes), incoming) };
    } catch (error) {
      if (isSuperseded(error)) return "elsewhere";
      const known = ServiceError.from(error);
      if (watch.outcome === "ended") return this.#ended(call);
      if (watch.outcome === "elsewhere") return "elsewhere";
      over = false;
      if (watch.outcome === "stopping") return { againAfter: 0 };
      // A stream's reader has had the error as its last item.
      if (!stream && !delivery.last && call.alone === undefined && isTransient(known, host.service.name)) {
        log.warn({ id, api, call_id: callId, code: known.code }, `a call failed for now: ${known.message}`);
        return { againAfter: this.#backoff(delivery) };
      }
      if (!ServiceError.is(error)) log.error({ err: error, api, call_id: callId }, "a call could not be run");
      over = true;
      ending = { error: known.toJSON() };
    } finally {
      await watch.end();
      if (!over) await watch.release();
      if (!ending && alone === "alone") await objects.unmarkAlone(id);
      observer?.finished(api, ending && !ending.error ? (Date.now() - startedAt) / 1000 : undefined);
    }
    return this.#end(call, { ...ending, startedAt });
  }

  /**
   * A call's last delivery says whether anything ran beside it: what was beside a call that kills its worker dies with it,
   * and is not to blame. `again` is for a call that has had its worker for itself before, and did not come to an end.
   */
  async #alone({ id, alone }: CallMessage, delivery: Delivery): Promise<"alone" | "beside others" | "again"> {
    if (alone === undefined && !delivery.last) return "beside others";
    if (!(await delivery.alone(alone === undefined))) return "beside others";
    const first = await this.#options.objects.markAlone(id);
    return first || alone === undefined ? "alone" : "again";
  }

  /** Stores how a call ended, unless it has before. */
  async #end(call: CallMessage, ending: Ending): Promise<Outcome> {
    const { objects } = this.#options;
    const finishedAt = Date.now();
    const put = async (): Promise<boolean> => {
      try {
        return await objects.putResult(call.id, { ...ending, finishedAt });
      } catch (error) {
        // An output that cannot travel is the service's fault, and stays one however often it is tried.
        if (!(ServiceError.is(error) && error.code === "INVALID_ARGUMENT")) throw error;
        return objects.putResult(call.id, { error: error.toJSON(), finishedAt });
      }
    };
    const stands = await pRetry(put, RETRIES);
    const { startedAt, error } = ending;
    if (stands) return this.#ended(call, startedAt === undefined ? "refused" : error ? "failed" : "run", error?.code);
    log.info({ id: call.id, api: call.api, call_id: call.callId }, "a call was run twice; the first result stands");
    return this.#ended(call);
  }

  async #ended(call: CallMessage, outcome: DeliveryOutcome = "superseded", error?: ErrorCode): Promise<Outcome> {
    const { announce, host } = this.#options;
    if (call.callback !== undefined && announce) await pRetry(() => announce(call), RETRIES);
    countDelivery(host.service.name, outcome, error);
    return "done";
  }

  #backoff({ message }: Delivery): number {
    return Math.min(300, (this.#options.backoffSeconds ?? 1) * 2 ** (message.receiveCount - 1));
  }
}

/** The work's end, or the signal's reason before it; the work goes on. */
async function untilAborted(work: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Whether a fault of the service itself may be gone the next time; one behind it has been retried there. */
function isTransient({ code, service }: ServiceError, name: string): boolean {
  return (code === "UNAVAILABLE" || code === "RESOURCE_EXHAUSTED") && (service === undefined || service === name);
}

function brokenOff(service: string): ServiceError {
  return new ServiceError("UNAVAILABLE", `the worker of ${service} died in the middle of the stream`, {
    retryAfter: 1,
  });
}
