import type { Priority, ProgressListener } from "../service/context.ts";
import type { Service } from "../service/contract.ts";

/** One call on its way to a service. */
export interface OutgoingCall {
  readonly service: Service;
  readonly api: string;
  /** Already checked against the api's schema. */
  readonly input: unknown;
  /** When the answer must be there: milliseconds since the epoch. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly callId: string;
  readonly traceparent: string;
  readonly idempotencyKey: string | undefined;
  readonly accept: string | undefined;
  /** Lane of a queue; transports without one ignore it. */
  readonly priority?: Priority | undefined;
  /** Milliseconds since the epoch until which the call may wait in a queue. */
  readonly startBy?: number | undefined;
  /** Set when somebody listens. */
  readonly progress: ProgressListener | undefined;
}

/** A way to reach a service. The transport suite in test/contract says what every one of them must do. */
export interface Transport {
  readonly kind: string;
  /**
   * Makes the call and gives its output: an `AsyncIterable` for an api that streams.
   * @throws ServiceError the callee's error, UNAVAILABLE when it cannot be reached, DEADLINE_EXCEEDED, CANCELED.
   */
  call(call: OutgoingCall): Promise<unknown>;
  /** Whether the service is ready to take calls. Never throws. */
  ready(signal: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}
