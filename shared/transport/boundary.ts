import { ServiceError } from "../errors/service-error.ts";
import type { OutgoingCall } from "./transport.ts";

/** How long a call may take, as a signal. */
export interface Boundary {
  /** Fires at the call's deadline or when its caller cancels; its reason is a `ServiceError`. */
  readonly signal: AbortSignal;
  /** To be called when the call is over. */
  release(): void;
}

/** A longer timer would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The boundary of a call, counted from now. */
export function boundaryOf(call: OutgoingCall): Boundary {
  const controller = new AbortController();
  const expire = (): void =>
    controller.abort(new ServiceError("DEADLINE_EXCEEDED", `${call.service.name} did not answer before the deadline`));
  const cancel = (): void => {
    const reason: unknown = call.signal?.reason;
    controller.abort(ServiceError.is(reason) ? reason : new ServiceError("CANCELED", "the caller canceled the call"));
  };
  const left = call.deadline - Date.now();
  const timer = setTimeout(expire, Math.min(MAX_TIMER_MS, Math.max(0, left)));
  if (left <= 0) expire();
  if (call.signal?.aborted) cancel();
  else call.signal?.addEventListener("abort", cancel, { once: true });
  return {
    signal: controller.signal,
    release: () => {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", cancel);
    },
  };
}
