import {
  InvokeCommand,
  InvokeWithResponseStreamCommand,
  type InvokeWithResponseStreamResponseEvent,
  LambdaClient,
} from "@aws-sdk/client-lambda";
import { ServiceError } from "../errors/service-error.ts";
import {
  FunctionFailed,
  type InvocationReply,
  type RemoteFunction,
  StreamingRefused,
} from "../lambda/remote-function.ts";
import { awsRequest, errorName } from "./request.ts";

/** Longer than any function runs: the caller's signal ends the waiting. */
const TIMEOUT_MS = 960_000;
/** Connections to Lambda; each waits for one invocation's answer. */
const MAX_CONNECTIONS = 512;

/** Answers to `InvokeWithResponseStream` where it is not allowed, or not known: some emulators know `Invoke` alone. */
const REFUSALS = [400, 403, 404, 405, 501];

/** A function that is invoked with `Invoke`, type `RequestResponse`, or `InvokeWithResponseStream`. */
export class LambdaFunction implements RemoteFunction {
  readonly #name: string;
  readonly #client: LambdaClient;
  readonly #own: boolean;

  /** @param options.client sends the requests, and stays the caller's; otherwise one that the SDK configures. */
  constructor(name: string, { client }: { client?: LambdaClient } = {}) {
    this.#name = name;
    this.#client = client ?? newLambdaClient();
    this.#own = !client;
  }

  async invoke(payload: string, signal: AbortSignal): Promise<InvocationReply> {
    const command = new InvokeCommand({ FunctionName: this.#name, Payload: Buffer.from(payload) });
    try {
      const answer = await awsRequest(
        `function ${this.#name}`,
        (abortSignal) => this.#client.send(command, { abortSignal }),
        { signal, timeoutMs: TIMEOUT_MS },
      );
      return { payload: answer.Payload ?? new Uint8Array(0), functionError: answer.FunctionError };
    } catch (error) {
      throw ServiceError.is(error) ? this.#known(error) : error;
    }
  }

  async stream(payload: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const command = new InvokeWithResponseStreamCommand({ FunctionName: this.#name, Payload: Buffer.from(payload) });
    const reading = new AbortController();
    try {
      const answer = await awsRequest(
        `function ${this.#name}`,
        (head) => this.#client.send(command, { abortSignal: AbortSignal.any([head, reading.signal]) }),
        { signal, timeoutMs: TIMEOUT_MS },
      );
      if (!answer.EventStream) throw this.#broken();
      return this.#pieces(answer.EventStream, reading, signal);
    } catch (error) {
      if (!ServiceError.is(error)) throw error;
      const { $metadata } = (error.cause ?? {}) as { $metadata?: { httpStatusCode?: number } };
      if (error.code === "INTERNAL" && REFUSALS.includes($metadata?.httpStatusCode ?? 0))
        throw new StreamingRefused(error.message, { cause: error });
      throw this.#known(error);
    }
  }

  /** @param reading ends the request, whoever stops. */
  async *#pieces(
    events: AsyncIterable<InvokeWithResponseStreamResponseEvent>,
    reading: AbortController,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const stop = (): void => reading.abort();
    let complete = false;
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      for await (const { PayloadChunk, InvokeComplete } of events) {
        if (PayloadChunk?.Payload?.byteLength) yield PayloadChunk.Payload;
        if (!InvokeComplete) continue;
        complete = true;
        if (InvokeComplete.ErrorCode) throw new FunctionFailed(InvokeComplete.ErrorDetails ?? "{}");
      }
      if (!complete) throw this.#broken();
    } catch (error) {
      if (error instanceof FunctionFailed) throw error;
      signal.throwIfAborted();
      throw ServiceError.is(error) ? error : this.#broken(error);
    } finally {
      signal.removeEventListener("abort", stop);
      if (!complete) stop();
    }
  }

  #broken(cause?: unknown): ServiceError {
    const message = `function ${this.#name}: the connection broke within its answer; it may or may not have run`;
    return new ServiceError("UNAVAILABLE", message, { cause, retryAfter: 1 });
  }

  close(): void {
    if (this.#own) this.#client.destroy();
  }

  #known(error: ServiceError): ServiceError {
    const { cause } = error;
    switch (errorName(cause)) {
      case "TooManyRequestsException": {
        const seconds = Number((cause as { retryAfterSeconds?: string }).retryAfterSeconds);
        const retryAfter = seconds > 0 ? seconds : 1;
        return new ServiceError("RESOURCE_EXHAUSTED", `function ${this.#name} is throttled`, { cause, retryAfter });
      }
      case "RequestTooLargeException":
        return new ServiceError("PAYLOAD_TOO_LARGE", `${error.message}`, { cause });
      case "ResourceNotFoundException": {
        const message = `there is no function ${this.#name}: deploy it, or correct its name`;
        return new ServiceError("INTERNAL", message, { cause });
      }
      default:
        return error;
    }
  }
}

/**
 * A client that the SDK configures from the environment (`AWS_ENDPOINT_URL_LAMBDA` among it). It tries nothing again: it
 * cannot know whether a function whose answer was lost has run.
 */
export function newLambdaClient(options: { endpoint?: string } = {}): LambdaClient {
  const agents = { httpAgent: { maxSockets: MAX_CONNECTIONS }, httpsAgent: { maxSockets: MAX_CONNECTIONS } };
  return new LambdaClient({ ...options, maxAttempts: 1, requestHandler: agents });
}
