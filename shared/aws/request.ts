import { ServiceError } from "../errors/service-error.ts";

/** Milliseconds that a request may take, its retries included. */
const TIMEOUT_MS = 10_000;
/** Names of refusals that pass: the service is overloaded, or is doing what was asked already. */
const PASSING = /Thrott|TooManyRequests|RequestLimitExceeded|SlowDown|OverLimit|PurgeQueueInProgress|RequestTimeout$/;

/** What is asked of a request to AWS. */
export interface RequestLimits {
  /** Ends the request; what it rejects with is the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds; 10 seconds unless given. */
  timeoutMs?: number;
}

/**
 * Sends a request to AWS, with a deadline.
 * @param what names what is asked, for errors: `bucket b, key k`.
 * @param send sends it; its signal aborts when the deadline passes or the caller's signal does.
 * @throws ServiceError UNAVAILABLE where the service cannot be reached, is overloaded or fails; INTERNAL where it refuses.
 */
export async function awsRequest<T>(
  what: string,
  send: (signal: AbortSignal) => Promise<T>,
  { signal, timeoutMs = TIMEOUT_MS }: RequestLimits = {},
): Promise<T> {
  signal?.throwIfAborted();
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), timeoutMs);
  const abort = (): void => end.abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    // The SDK looks at the signal only while a request is on its way, not while it waits or looks for credentials.
    return await new Promise<T>((resolve, reject) => {
      end.signal.addEventListener("abort", () => reject(end.signal.reason), { once: true });
      send(end.signal).then(resolve, reject);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw end.signal.aborted
      ? unavailable(what, `no answer within ${timeoutMs / 1000} seconds`, error)
      : fault(what, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** The name of an error of AWS's, without the prefixes that some servers give it. */
export function errorName(error: unknown): string {
  return error instanceof Error ? error.name.replace(/^(AWS\.SimpleQueueService\.|com\.amazonaws\.\w+#)/, "") : "";
}

function fault(what: string, error: unknown): ServiceError {
  if (ServiceError.is(error)) return error;
  const { message, code, $metadata } = error as Error & { code?: unknown; $metadata?: { httpStatusCode?: number } };
  const name = errorName(error);
  const status = $metadata?.httpStatusCode ?? 0;
  // A refusal of HEAD has no body, and so no name.
  const refusal = /^(|Unknown|UnknownError)$/.test(name) && status > 0 ? `HTTP ${status}` : `${name}: ${message}`;
  if (status >= 500 || status === 429 || PASSING.test(name)) return unavailable(what, refusal, error);
  if (/^E[A-Z]+/.test(String(code)) || name === "TimeoutError")
    return unavailable(what, `not reached: ${message || code}`, error);
  return new ServiceError("INTERNAL", `${what}: ${refusal}`, { cause: error });
}

function unavailable(what: string, why: string, cause: unknown): ServiceError {
  return new ServiceError("UNAVAILABLE", `${what}: ${why}`, { retryAfter: 1, cause });
}
