import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";

/** What Lambda tells a handler beside the event, as far as it is used here. */
export interface LambdaContext {
  readonly awsRequestId: string;
  /** Milliseconds until Lambda ends the function. */
  getRemainingTimeInMillis(): number;
}

/** Milliseconds before Lambda ends a function by which a call is given up, so that its caller gets an answer. */
export const MARGIN_MS = 500;
/** Longest timeout that a function can have: 15 minutes. */
const LONGEST_MS = 900_000;

/** When a call's work must have ended: milliseconds since the epoch. */
export function endOf(context: LambdaContext): number {
  return Date.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
}

/**
 * The deadline of a call that is answered in this invocation: the least of the service's timeout, the caller's and what
 * Lambda leaves, less {@link MARGIN_MS}. In milliseconds since the epoch.
 * @param timeoutMs what the caller gives it.
 * @throws ServiceError INVALID_ARGUMENT for a call that may take longer than any function runs.
 */
export function callDeadline({ name, traffic }: Service, context: LambdaContext, timeoutMs?: number): number {
  const wanted = Math.min(traffic.timeout * 1000, timeoutMs ?? Number.POSITIVE_INFINITY);
  if (wanted > LONGEST_MS - MARGIN_MS)
    throw new ServiceError(
      "INVALID_ARGUMENT",
      `a call of ${name} may take ${wanted / 1000} s, and a function ends after ${LONGEST_MS / 1000} s: submit it as a task, or call it with a shorter timeout`,
    );
  return Math.min(Date.now() + wanted, endOf(context));
}
