import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";
import { decodeFrame } from "../codec/frame.ts";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { ServiceHost } from "../service/host.ts";
import { type CallMessage, decodeMessage } from "./call-message.ts";
import type { CallObjects, CallResult } from "./call-objects.ts";
import type { Delivery, Outcome } from "./consumer.ts";
import { RunWatch, type RunWatchOptions } from "./run-watch.ts";
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

/** A run that said nothing for so long is dead: three of its heartbeats. */
export const LEASE_MS = 15_000;
/** A message of this age, or delivered before, is looked up before it is run: somebody else may have. */
const YOUNG_MS = 1_000;
const FOLLOW_MS = 2_000;
/** Runs seen before a call is refused because it would take too long. */
const MIN_RUNS = 8;
const CALLBACK_AGAIN_SECONDS = 60;

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
    let decoded: ReturnType<typeof decodeMessage>;
    try {
      decoded = decodeMessage(delivery.message);
    } catch (err) {
      log.error({ err, message_id: delivery.message.messageId }, "a message is no call; it goes to the dead letters");
      return { againAfter: 0 };
    }
    const { call, input } = decoded;
    try {
      if (call.kind === "callback") return await this.#callBack(call);
      return await this.#deliver(call, input, delivery);
    } catch (err) {
      log.warn({ err, id: call.id, api: call.api, call_id: call.callId }, "a delivery failed; the call comes again");
      return { againAfter: this.#backoff(delivery) };
    }
  };

  async #callBack(call: CallMessage): Promise<Outcome> {
    try {
      await this.#options.callback?.(call);
      return "done";
    } catch (err) {
      log.warn({ err, id: call.id }, "a callback URL could not be told");
      return { againAfter: CALLBACK_AGAIN_SECONDS };
    }
  }

  async #deliver(call: CallMessage, input: Uint8Array | undefined, delivery: Delivery): Promise<Outcome> {
    const { objects } = this.#options;
    const { id } = call;
    const twin = this.#running.get(id);
    if (twin !== undefined) {
      delivery.yieldPlace();
      await twin.catch(() => undefined);
    }
    const { receiveCount, sentAt } = delivery.message;
    if (twin !== undefined || receiveCount > 1 || Date.now() - sentAt > YOUNG_MS) {
      if (await objects.hasResult(id)) return this.#ended(call);
      const orphaned = await this.#followed(call, delivery);
      if (orphaned === "ended") return this.#ended(call);
      if (orphaned === "stopping") return { againAfter: 0 };
      if (this.#options.host.service.apis[call.api]?.stream && (await objects.items(id, 0)))
        return this.#end(call, { error: brokenOff(this.#options.host.service.name).toJSON() });
    }
    const refusal = this.#refusal(call);
    if (refusal) return this.#end(call, { error: refusal.toJSON() });
    const run = this.#run(call, input, delivery);
    this.#running.set(id, run);
    try {
      return await run;
    } finally {
      this.#running.delete(id);
    }
  }

  /** Waits while another worker's run of the call shows signs of life. */
  async #followed({ id }: CallMessage, delivery: Delivery): Promise<"ended" | "free" | "stopping"> {
    const { objects } = this.#options;
    while (true) {
      const progress = await objects.progress(id);
      if (!progress || Date.now() - progress.at > LEASE_MS) return "free";
      delivery.yieldPlace();
      if (delivery.signal.aborted) return "stopping";
      await delay(FOLLOW_MS);
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

  async #run(call: CallMessage, input: Uint8Array | undefined, delivery: Delivery): Promise<Outcome> {
    const { host, objects, observer } = this.#options;
    const { id, api, callId, deadline, traceparent, idempotencyKey, accept } = call;
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
      waits: true,
      ...((call.listened || stream) && { progress: watch.report }),
    };
    observer?.started();
    let ending: Ending | undefined;
    try {
      const bytes = input ?? (await objects.input(id));
      if (!bytes) throw new ServiceError("INTERNAL", "the call's input has expired");
      if (stream) {
        await watch.begin();
        ending = { output: await runStream(host, api, decodeFrame(bytes), incoming, objects, id) };
      } else ending = { output: await host.call(api, decodeFrame(bytes), incoming) };
    } catch (error) {
      if (isSuperseded(error)) return { againAfter: LEASE_MS / 1000 };
      const known = ServiceError.from(error);
      if (watch.signal.aborted && watch.outcome)
        return watch.outcome === "ended" ? this.#ended(call) : { againAfter: 0 };
      // A stream's reader has had the error as its last item.
      if (!stream && !delivery.last && isTransient(known, host.service.name)) {
        log.warn({ id, api, call_id: callId, code: known.code }, `a call failed for now: ${known.message}`);
        return { againAfter: this.#backoff(delivery) };
      }
      if (!ServiceError.is(error)) log.error({ err: error, api, call_id: callId }, "a call could not be run");
      ending = { error: known.toJSON() };
    } finally {
      await watch.end();
      observer?.finished(api, ending && !ending.error ? (Date.now() - startedAt) / 1000 : undefined);
    }
    return this.#end(call, { ...ending, startedAt });
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
    const stands = await pRetry(put, { retries: 5, minTimeout: 100, maxTimeout: 5_000 });
    if (!stands)
      log.info({ id: call.id, api: call.api, call_id: call.callId }, "a call was run twice; the first result stands");
    return this.#ended(call);
  }

  async #ended(call: CallMessage): Promise<Outcome> {
    if (call.callback !== undefined) await this.#options.announce?.(call);
    return "done";
  }

  #backoff({ message }: Delivery): number {
    return Math.min(300, (this.#options.backoffSeconds ?? 1) * 2 ** (message.receiveCount - 1));
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
