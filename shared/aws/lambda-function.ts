import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { ServiceError } from "../errors/service-error.ts";
import type { InvocationReply, RemoteFunction } from "../lambda/remote-function.ts";
import { awsRequest, errorName } from "./request.ts";

/** Longer than any function runs: the caller's signal ends the waiting. */
const TIMEOUT_MS = 960_000;
/** Connections to Lambda; each waits for one invocation's answer. */
const MAX_CONNECTIONS = 512;

/** A function that is invoked with `Invoke`, type `RequestResponse`. */
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
