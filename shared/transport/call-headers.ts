import type { IncomingCall } from "../service/host.ts";

/** Request headers of a call between services; `traceparent` and `idempotency-key` are the usual ones. */
export const CALL_HEADERS = {
  /** Milliseconds that the caller will still wait: relative, so that clocks need not agree. */
  timeout: "tandem-timeout-ms",
  callId: "tandem-call-id",
  /** What the outer caller accepts as a picture. */
  accept: "tandem-accept",
} as const;

/** Reads what a caller sent along from request headers. Unusable values are ignored: they are hints. */
export function incomingCall(header: (name: string) => string | undefined, signal: AbortSignal): IncomingCall {
  const timeout = Number(header(CALL_HEADERS.timeout));
  return {
    signal,
    deadline: timeout > 0 && Number.isFinite(timeout) ? Date.now() + timeout : undefined,
    callId: header(CALL_HEADERS.callId)?.slice(0, 128),
    traceparent: header("traceparent"),
    idempotencyKey: header("idempotency-key"),
    accept: header(CALL_HEADERS.accept),
  };
}
