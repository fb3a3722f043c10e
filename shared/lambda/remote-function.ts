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
  close(): void;
}

/** Opens a function by its name or ARN. */
export type OpenFunction = (functionName: string) => Promise<RemoteFunction>;

/** A function of Lambda's. Only those that call one load the SDK. */
export const openLambdaFunction: OpenFunction = async (functionName) => {
  const { LambdaFunction } = await import("../aws/lambda-function.ts");
  return new LambdaFunction(functionName);
};
