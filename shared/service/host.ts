import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import { countCall, countStart } from "../observability/metrics.ts";
import { beginCall, type Span } from "../observability/spans.ts";
import { flushTelemetry, startTelemetry } from "../observability/telemetry.ts";
import type { Batcher } from "./batcher.ts";
import { type CallContext, type CallOptions, withContext } from "./context.ts";
import type { Api, BatchOptions, Service } from "./contract.ts";
import type { Deployable } from "./deployable.ts";
import type { Discovery } from "./discovery.ts";
import { constructWith, type Lifecycle } from "./implementation.ts";
import { parseInput, parseOutput } from "./validation.ts";

/** What a caller sent along with an input. */
export interface IncomingCall extends Omit<CallOptions, "timeout" | "priority" | "maxQueueTime"> {
  /** Milliseconds since the epoch; the service's own timeout holds too. */
  deadline?: number | undefined;
  traceparent?: string | undefined;
  /** Hears what the implementation warns of. */
  warn?: ((message: string) => void) | undefined;
  /** Which delivery of its message this is, of a call that comes from a queue. */
  attempt?: number | undefined;
  /** Waits for a place instead of being refused where there is none: for calls that have left a queue. */
  waits?: boolean | undefined;
}

/** A longer timer would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

type Methods = Record<string, (input: unknown, context: CallContext) => unknown>;

/** One instance of a service and the rules that every call to it obeys, whatever carried it here. */
export class ServiceHost {
  readonly service: Service;
  readonly #instance: Lifecycle;
  readonly #limit: number;
  readonly #batchers = new Map<string, Promise<Batcher>>();
  readonly #calls = new Set<AbortController>();
  #averageSeconds = 1;
  #started = false;
  #draining = false;
  #idle: (() => void) | undefined;
  readonly #waiting: (() => void)[] = [];

  /** Use {@link ServiceHost.start}; the constructor serves instances made by hand, in tests. */
  constructor(service: Service, instance: object) {
    this.service = service;
    this.#instance = instance;
    this.#limit = Math.ceil(service.traffic.maxConcurrency / service.workers);
    const methods = instance as Methods;
    for (const name of Object.keys(service.apis))
      if (typeof methods[name] !== "function") throw new TypeError(`${service.name} has no method ${name}`);
  }

  /** Loads the implementation, makes an instance and runs its `onStart`. */
  static async start(deployable: Deployable, discovery: Discovery): Promise<ServiceHost> {
    await startTelemetry(deployable.service.name);
    const { default: Class } = await deployable.load();
    const host = new ServiceHost(
      deployable.service,
      constructWith(discovery, () => new Class()),
    );
    await host.start();
    return host;
  }

  async start(): Promise<void> {
    const started = countStart(this.service.name);
    await this.#instance.onStart?.();
    this.#started = true;
    started();
  }

  /** Whether calls may come. */
  async ready(): Promise<boolean> {
    return this.#started && !this.#draining && (await saysYes(() => this.#instance.isReady?.()));
  }

  async live(): Promise<boolean> {
    return saysYes(() => this.#instance.isLive?.());
  }

  /** Most calls in work at once. */
  get places(): number {
    return this.#limit;
  }

  /** Most calls of its queue that it has a use for at once, of those that it may take: at least one. */
  queuePlaces(allowed: number): number {
    const useful = this.#instance.queuePlaces?.() ?? allowed;
    return Math.max(1, Math.min(useful, allowed, this.places));
  }

  /** Calls in work. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /**
   * Runs one call: admission, validation, deadline, the method, validation of what it gave. For an api that streams it
   * gives an `AsyncIterable` of checked items, and the call holds its place until the last one.
   * @throws ServiceError NOT_FOUND, UNAVAILABLE, RESOURCE_EXHAUSTED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, CANCELED,
   * what the implementation threw, or INTERNAL for anything else it threw.
   */
  async call(name: string, input: unknown, incoming: IncomingCall = {}): Promise<unknown> {
    const api = Object.hasOwn(this.service.apis, name) ? this.service.apis[name] : undefined;
    if (!api) {
      const known = Object.keys(this.service.apis).join(", ");
      throw new ServiceError("NOT_FOUND", `${this.service.name} has no api "${name}"; it has ${known}`);
    }
    const answered = countCall(this.service.name, name);
    const call = new RunningCall(this.service, name, incoming);
    const finish = (error?: unknown): void => {
      call.end(error);
      answered(error === undefined ? undefined : ServiceError.from(error));
    };
    try {
      const release = incoming.waits ? await this.#admitInTurn(call.controller) : this.#admit(call.controller);
      const work = this.#work(name, api, input, call);
      // The place is free once the work has ended, which may be later than the answer.
      void work.then(api.stream ? undefined : release, release);
      if (api.stream) return this.#stream(name, api, (await work) as AsyncIterator<unknown>, call, finish, release);
      const output = await untilAborted(work, call.controller.signal);
      const checked = parseOutput(api.output, output, `${this.service.name}.${name}`);
      finish();
      return checked;
    } catch (error) {
      const reported = this.#reported(error, name, call.context);
      finish(reported);
      throw reported;
    }
  }

  /** Refuses new calls, waits for those in work, aborts what is left after `graceSeconds`, then runs `onStop`. */
  async stop(graceSeconds = 30): Promise<void> {
    this.#draining = true;
    for (const wake of this.#waiting.splice(0)) wake();
    if (this.#calls.size > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      const timer = setTimeout(() => {
        for (const controller of this.#calls)
          controller.abort(new ServiceError("UNAVAILABLE", `${this.service.name} is stopping`));
      }, graceSeconds * 1000);
      await idle;
      clearTimeout(timer);
    }
    await this.#instance.onStop?.();
    await flushTelemetry();
  }

  /** Takes a place; the returned function frees it. */
  #admit(controller: AbortController): () => void {
    if (!this.#started || this.#draining)
      throw new ServiceError("UNAVAILABLE", `${this.service.name} is ${this.#draining ? "stopping" : "starting"}`, {
        retryAfter: 1,
      });
    if (this.#calls.size >= this.#limit)
      throw new ServiceError("RESOURCE_EXHAUSTED", `${this.service.name} works on its limit of ${this.#limit} calls`, {
        retryAfter: Math.max(1, Math.ceil(this.#averageSeconds)),
      });
    this.#calls.add(controller);
    const started = performance.now();
    return () => {
      if (!this.#calls.delete(controller)) return;
      this.#averageSeconds += ((performance.now() - started) / 1000 - this.#averageSeconds) / 8;
      if (this.#calls.size === 0) this.#idle?.();
      this.#waiting.shift()?.();
    };
  }

  /** Waits until there is a place, and takes it in the same breath: another call may come at any time. */
  async #admitInTurn(controller: AbortController): Promise<() => void> {
    while (this.#calls.size >= this.#limit && !this.#draining) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      try {
        await untilAborted(promise, controller.signal);
      } catch (error) {
        const at = this.#waiting.indexOf(resolve);
        if (at >= 0) this.#waiting.splice(at, 1);
        // It was called although its call had gone: the next one takes the place.
        else this.#waiting.shift()?.();
        throw error;
      }
    }
    return this.#admit(controller);
  }

  /** The method's result; of an api that streams, its iterator. */
  #work(name: string, api: Api, input: unknown, { controller, context }: RunningCall): Promise<unknown> {
    return withContext(context, async () => {
      controller.signal.throwIfAborted();
      const checked = parseInput(api.input, input);
      if (api.batch) return (await this.#batcher(name, api.batch)).submit(checked, context);
      const output = (this.#instance as Methods)[name]!(checked, context);
      return api.stream ? (output as AsyncIterable<unknown>)[Symbol.asyncIterator]() : output;
    });
  }

  /** Its code is loaded with the first call: a function's start has no time for it. */
  #batcher(name: string, options: Required<BatchOptions>): Promise<Batcher> {
    let batcher = this.#batchers.get(name);
    if (!batcher) {
      const method = (this.#instance as Methods)[name]!.bind(this.#instance);
      const run = (inputs: unknown[], context: CallContext) => method(inputs, context) as Promise<unknown[]>;
      batcher = import("./batcher.ts").then(({ Batcher }) => new Batcher(this.service.name, name, options, run));
      this.#batchers.set(name, batcher);
    }
    return batcher;
  }

  /** Checked items. Ends when the method does, the reader stops or the call is aborted, even if nobody reads then. */
  #stream(
    name: string,
    api: Api,
    iterator: AsyncIterator<unknown>,
    call: RunningCall,
    finish: (error?: unknown) => void,
    release: () => void,
  ): AsyncGenerator<unknown> {
    const { signal } = call.controller;
    const where = `${this.service.name}.${name}`;
    let ended = false;
    const end = (error?: unknown): void => {
      if (ended) return;
      ended = true;
      signal.removeEventListener("abort", abort);
      finish(error);
      // An abandoned generator is told to end; it may be in the middle of a step and end later.
      void withContext(call.context, async () => iterator.return?.()).then(release, release);
    };
    const abort = (): void => end(signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    const reported = (error: unknown): ServiceError => this.#reported(error, name, call.context);
    async function* checked(): AsyncGenerator<unknown> {
      try {
        while (true) {
          signal.throwIfAborted();
          const next = await untilAborted(
            withContext(call.context, () => iterator.next()),
            signal,
          );
          if (next.done) return;
          yield parseOutput(api.output, next.value, where);
        }
      } catch (error) {
        const known = reported(error);
        end(known);
        throw known;
      } finally {
        end();
      }
    }
    return checked();
  }

  #reported(error: unknown, api: string, context: CallContext): ServiceError {
    let known = ServiceError.from(error);
    // Only the caller cancels. To one that still waits, 499 would say what it never did.
    if (known.code === "CANCELED" && !context.signal.aborted)
      known = new ServiceError("UNAVAILABLE", `${this.service.name} gave the call up: ${known.message}`, {
        cause: known,
      });
    if (known.code === "INTERNAL") context.log.error({ err: known.cause ?? known, api }, known.message);
    else context.log.debug({ code: known.code, api }, known.message);
    return known;
  }
}

/** One call's controller, context and timers. */
class RunningCall {
  readonly controller = new AbortController();
  readonly context: CallContext;
  readonly #timer: NodeJS.Timeout;
  readonly #callerGone: (() => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #span: Span;

  constructor(service: Service, api: string, incoming: IncomingCall) {
    const own = Date.now() + service.traffic.timeout * 1000;
    const deadline = Math.min(own, incoming.deadline ?? own);
    const callId = incoming.callId ?? crypto.randomUUID();
    const { controller } = this;
    const expire = (): void => {
      const limit = deadline === own ? `its timeout of ${service.traffic.timeout} s` : "the caller's deadline";
      controller.abort(new ServiceError("DEADLINE_EXCEEDED", `${service.name} did not answer within ${limit}`));
    };
    const left = deadline - Date.now();
    this.#timer = setTimeout(expire, Math.min(MAX_TIMER_MS, Math.max(0, left)));
    if (left <= 0) expire();
    this.#signal = incoming.signal;
    if (incoming.signal) {
      const { signal } = incoming;
      this.#callerGone = () =>
        controller.abort(
          ServiceError.is(signal.reason) ? signal.reason : new ServiceError("CANCELED", "the caller canceled the call"),
        );
      if (signal.aborted) this.#callerGone();
      else signal.addEventListener("abort", this.#callerGone, { once: true });
    }
    this.#span = beginCall("server", service.name, api, callId, incoming.traceparent, incoming.attempt);
    const { traceparent } = this.#span;
    let child: CallContext["log"] | undefined;
    this.context = {
      signal: controller.signal,
      deadline,
      callId,
      traceparent,
      idempotencyKey: incoming.idempotencyKey,
      accept: incoming.accept,
      get log() {
        child ??= log.child({ service: service.name, call_id: callId, trace_id: traceparent.split("-")[1] });
        return child;
      },
      progress: incoming.progress ?? (() => undefined),
      warn: incoming.warn ?? (() => undefined),
      listened: incoming.progress !== undefined,
    };
  }

  end(error?: unknown): void {
    this.#span.end(error);
    clearTimeout(this.#timer);
    if (this.#callerGone) this.#signal?.removeEventListener("abort", this.#callerGone);
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) {
      // Let a call that fails by itself say why: the method sees the same signal.
      work.catch(() => undefined);
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** A probe's answer: yes where there is no probe, no where it fails. */
async function saysYes(probe: () => Promise<boolean> | boolean | undefined): Promise<boolean> {
  try {
    return (await probe()) ?? true;
  } catch {
    return false;
  }
}
