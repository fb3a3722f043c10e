import type http from "node:http";
import pRetry from "p-retry";
import { EVENT_STREAM_TYPE, encodeEvent } from "../../aws/event-stream.ts";
import { log } from "../../observability/log.ts";
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES, readUpTo, writeTo } from "./bodies.ts";
import { functionArn, type InvocationResult } from "./execution-environment.ts";
import type { LocalFunction } from "./local-function.ts";

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html and API_InvokeWithResponseStream.html */
const PATH =
  /^\/2015-03-31\/functions\/([^/]+)\/invocations$|^\/2021-11-15\/functions\/([^/]+)\/response-streaming-invocations$/;
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;
/** Invocations of type `Event` that wait or run. */
const MAX_ASYNC = 100;
/** Lambda tries them twice again, too, but after minutes. */
const ASYNC_RETRIES = { retries: 2, minTimeout: 1_000 };
const ERROR_TRAILER = "lambda-runtime-function-error-type";

interface Refusal {
  readonly status: number;
  readonly name: string;
  readonly message: string;
}

/** Lambda's Invoke API in front of some functions, by name. Who calls is not checked: it is for this machine alone. */
export class InvokeApi {
  readonly #functions: ReadonlyMap<string, LocalFunction>;
  #async = 0;

  constructor(functions: ReadonlyMap<string, LocalFunction>) {
    this.#functions = functions;
  }

  readonly listener: http.RequestListener = (request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  };

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await readUpTo(request, MAX_EVENT_BYTES);
    const [, whole, streamed] = PATH.exec(request.url?.split("?")[0] ?? "") ?? [];
    const name = functionName(whole ?? streamed ?? "");
    const target = this.#functions.get(name);
    const fault = refusal(request, name, target, body);
    if (fault || !target || !body) return refuse(response, fault!);
    const event = body.toString() || "{}";
    const type = request.headers["x-amz-invocation-type"] ?? "RequestResponse";
    if (type === "DryRun") return void response.writeHead(204).end();
    if (type === "Event" && whole) {
      if (this.#async >= MAX_ASYNC) return refuse(response, THROTTLED);
      void this.#later(target, event);
      return void response.writeHead(202).end();
    }
    const result = await target.invoke(event);
    if (!result) return refuse(response, THROTTLED);
    return whole ? answerWhole(result, response) : answerStream(result, response);
  }

  /** Invokes a function for nobody who waits: what is throttled or fails is tried twice again. */
  async #later(target: LocalFunction, event: string): Promise<void> {
    this.#async++;
    const once = async (): Promise<void> => {
      const result = await target.invoke(event);
      if (result?.kind === "answer") await readUpTo(result.body, 0);
      else throw new Error(result?.json ?? "throttled");
    };
    try {
      await pRetry(once, ASYNC_RETRIES);
    } catch (err) {
      log.warn({ err, function: target.settings.name }, "an invocation that nobody waits for was given up");
    } finally {
      this.#async--;
    }
  }
}

const THROTTLED: Refusal = { status: 429, name: "TooManyRequestsException", message: "Rate Exceeded." };

function refusal(
  request: http.IncomingMessage,
  name: string,
  target: LocalFunction | undefined,
  body: Buffer | undefined,
): Refusal | undefined {
  // A page in this machine's browser sends neither, unless it is allowed to.
  const { authorization, host = "" } = request.headers;
  if (request.method !== "POST" || !authorization?.startsWith("AWS4-") || !LOOPBACK.test(host))
    return { status: 403, name: "MissingAuthenticationTokenException", message: "Missing Authentication Token" };
  if (!target)
    return { status: 404, name: "ResourceNotFoundException", message: `Function not found: ${functionArn(name)}` };
  const message = `Request must be smaller than ${MAX_EVENT_BYTES} bytes for the InvokeFunction operation`;
  if (!body) return { status: 413, name: "RequestTooLargeException", message };
  if (body.byteLength > 0 && !isJson(body))
    return { status: 400, name: "InvalidRequestContentException", message: "Could not parse request body into json" };
  return undefined;
}

function refuse(response: http.ServerResponse, { status, name, message }: Refusal): void {
  response.writeHead(status, { "content-type": "application/json", "x-amzn-errortype": name });
  response.end(JSON.stringify({ Type: "User", Message: message }));
}

/** A function's name in a request's path: alone, or in an ARN, a version or an alias after it. */
function functionName(text: string): string {
  const parts = decodeURIComponent(text).split(":");
  return parts[parts.indexOf("function") + 1] ?? "";
}

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(body.toString());
    return true;
  } catch {
    return false;
  }
}

async function answerWhole(result: InvocationResult, response: http.ServerResponse): Promise<void> {
  let payload: Buffer | undefined;
  let failed = true;
  if (result.kind === "error") payload = Buffer.from(result.json);
  else {
    try {
      payload = await readUpTo(result.body, MAX_ANSWER_BYTES);
      failed = payload === undefined || result.body.trailers[ERROR_TRAILER] !== undefined;
    } catch {
      payload = Buffer.from(BROKEN);
    }
  }
  response.writeHead(200, {
    "content-type": "application/json",
    "x-amz-executed-version": "$LATEST",
    ...(failed && { "x-amz-function-error": "Unhandled" }),
  });
  response.end(payload ?? TOO_LARGE);
}

/** Passes on what a function gives, as it comes; of one that does not stream, all at once. */
async function answerStream(result: InvocationResult, response: http.ServerResponse): Promise<void> {
  response.writeHead(200, {
    "content-type": EVENT_STREAM_TYPE,
    "x-amz-executed-version": "$LATEST",
  });
  response.flushHeaders();
  const complete = async (json?: string): Promise<void> => {
    const details = json === undefined ? {} : { ErrorCode: "Unhandled", ErrorDetails: json };
    await writeTo(response, encodeEvent("InvokeComplete", details));
    response.end();
  };
  if (result.kind === "error") return complete(result.json);
  let bytes = 0;
  try {
    for await (const chunk of result.body as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      if (result.streamed || bytes <= MAX_ANSWER_BYTES) await writeTo(response, encodeEvent("PayloadChunk", chunk));
    }
  } catch {
    return complete(BROKEN);
  }
  const error = result.body.trailers[ERROR_TRAILER];
  if (!result.streamed && bytes > MAX_ANSWER_BYTES) return complete(TOO_LARGE);
  return complete(error && JSON.stringify({ errorType: error }));
}

/** The environment ended within its answer. */
const BROKEN = JSON.stringify({ errorType: "Runtime.ExitError", errorMessage: "Error: Runtime exited" });
const TOO_LARGE = JSON.stringify({
  errorType: "Function.ResponseSizeTooLarge",
  errorMessage: `Response payload size exceeded maximum allowed payload size (${MAX_ANSWER_BYTES} bytes).`,
});
