import type { Logger } from "pino";

/** Tells how far a call is: a fraction from 0 to 1 and, where the service has one, an encoded preview picture. */
export type ProgressListener = (fraction: number, preview?: Uint8Array) => void;

/** What a caller may say about a call. Every member is inherited from the call being worked on when left out. */
export interface CallOptions {
  /** Aborts the call, and the work it started on every service downstream. */
  signal?: AbortSignal | undefined;
  /** Seconds until the call must have answered; the service's own `traffic.timeout` still holds. */
  timeout?: number | undefined;
  /** Listens to the callee's progress. */
  progress?: ProgressListener | undefined;
  /** Media types the caller prefers for a picture, as in an `Accept` header. */
  accept?: string | undefined;
  /** Id that appears in every service's log; made up when left out. */
  callId?: string | undefined;
  /** Calls with the same key and input are computed once, where the call travels through a queue. */
  idempotencyKey?: string | undefined;
  /** Which lane of the callee's queue the call waits in; `high` is emptied first. Default `normal`. */
  priority?: Priority | undefined;
  /** Seconds that the call may wait in the callee's queue before its work begins. */
  maxQueueTime?: number | undefined;
}

export type Priority = "high" | "normal";

/** What an implementation knows of the call it is working on. Pass it on to dependencies, or leave it out there. */
export interface CallContext {
  /** Fires when the deadline passes, the caller goes away or cancels. Its reason is a `ServiceError`. */
  readonly signal: AbortSignal;
  /** When the call must have answered: milliseconds since the epoch. */
  readonly deadline: number;
  readonly callId: string;
  /** W3C trace context of this call's span. */
  readonly traceparent: string;
  readonly idempotencyKey: string | undefined;
  readonly accept: string | undefined;
  readonly log: Logger;
  /** Reports progress to whoever listens; free when nobody does. */
  readonly progress: ProgressListener;
  /**
   * Tells the caller what it may not expect of a call that goes well, as a `tandem-warning` header of an HTTP answer. It is
   * lost where there is none: in a call that a queue carries (a task too), between services, in a batch of several calls.
   */
  readonly warn: (message: string) => void;
  /** Whether anybody listens to `progress`. */
  readonly listened: boolean;
}

// Imported, it would take a part of a function's start.
const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
const current = new AsyncLocalStorage<CallContext>();

/** Runs `work` as part of a call, so that calls it makes inherit deadline, signal and trace. */
export function withContext<T>(context: CallContext, work: () => T): T {
  return current.run(context, work);
}

/** The call being worked on, if any. */
export function currentContext(): CallContext | undefined {
  return current.getStore();
}
