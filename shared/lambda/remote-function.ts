import { ServiceError } from "../errors/service-error.ts";

/** What came of an invocation. */
export interface InvocationReply {
  readonly payload: Uint8Array;
  /** Set where the function crashed or ran out of time: `Unhandled`. The payload says how, as JSON. */
  readonly functionError: string | undefined;
}

/**
 * A function that can be invoked.
 * @throws ServiceError RESOURCE_EXHAUSTED where Lambda throttles: the function has not run; UNAVAILABLE where Lambda cannot
 * be reached or fails; PAYLOAD_TOO_LARGE over 6 MB; INTERNAL where it refuses.
 */
export interface RemoteFunction {
  /** Invokes it and waits for its answer; never tries again by itself. An abort ends the waiting, not the function. */
  invoke(payload: string, signal: AbortSignal): Promise<InvocationReply>;
  /**
   * Invokes it and gives its answer piece by piece, as it comes; of a function that does not stream, when it is done.
   * @throws StreamingRefused where it cannot be invoked so: it has not run. Reading throws FunctionFailed where the
   * function crashed or ran out of time, ServiceError UNAVAILABLE where the connection broke, the signal's reason.
   */
  stream(payload: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): void;
}

/** `InvokeWithResponseStream` is not allowed, or nobody there knows it. */
export class StreamingRefused extends Error {}

/** A function that crashed or ran out of time while it streamed. */
export class FunctionFailed extends Error {
  /** What Lambda says of it, as JSON. */
  readonly details: string;

  constructor(details: string) {
    super("the function failed");
    this.details = details;
  }
}

/** Whether nothing of an invocation has reached the function: Lambda throttled it, or there was no connection. */
export function neverRan(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
  return isThrottled(error) || /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/.test(String(code));
}

/** Whether it is Lambda that is overloaded: no service's own answer. */
export function isThrottled(error: unknown): error is ServiceError {
  return ServiceError.is(error) && error.code === "RESOURCE_EXHAUSTED" && error.service === undefined;
}

/** Opens a function by its name or ARN. */
export type OpenFunction = (functionName: string) => Promise<RemoteFunction>;

/** A function of Lambda's. Only those that call one load the SDK. */
export const openLambdaFunction: OpenFunction = async (functionName) => {
  const { LambdaFunction } = await import("../aws/lambda-function.ts");
  return new LambdaFunction(functionName);
};
