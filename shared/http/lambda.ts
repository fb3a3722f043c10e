import type { Writable } from "node:stream";
import type { Hono } from "hono";
import { defaultIsContentTypeBinary, handle, type LambdaEvent } from "hono/aws-lambda";
import { ServiceError } from "../errors/service-error.ts";
import { MAX_FRAME_BYTES, MAX_INLINE_BYTES } from "../lambda/invocation-limits.ts";
import { callDeadline, endOf, type LambdaContext } from "../lambda/lambda-context.ts";
import type { Service } from "../service/contract.ts";
import { CALL_HEADERS } from "../transport/call-headers.ts";
import { errorAnswer } from "./answer.ts";

/** Bytes of a body that an answer in one piece carries, its head aside. */
const MAX_WHOLE_BYTES = MAX_FRAME_BYTES - 4096;
/** Bytes that a function's URL streams: 200 MB. */
const MAX_STREAMED_BYTES = 200e6 - 4096;

/** Status, headers and cookies of an answer, and its whole body, as API Gateway, ALB and function URLs take it. */
export interface HttpResult {
  readonly statusCode: number;
  readonly headers?: Record<string, string>;
  readonly multiValueHeaders?: Record<string, string[]>;
  readonly cookies?: string[];
  readonly body: string;
  readonly isBase64Encoded: boolean;
}

/** The head of an answer, to go before its body on a response stream. */
export type HttpHead = Pick<HttpResult, "statusCode" | "headers" | "cookies">;

/** Answers HTTP events of a Lambda function through a service's app. */
export class LambdaHttp {
  readonly #service: Service;
  readonly #app: Hono;

  constructor(service: Service, app: Hono) {
    this.#service = service;
    this.#app = app;
  }

  /** The answer in one piece: 6 MB at most, base64's third included. */
  async result(event: unknown, context: LambdaContext): Promise<HttpResult> {
    const end = new EndSignal(context);
    try {
      const result = await whole(event, (request, env) =>
        this.#fetch(request, { ...env, maxAnswerBytes: MAX_WHOLE_BYTES }, context, end.signal),
      );
      if (result.body.length < MAX_INLINE_BYTES / 2) return result;
      const bytes = Buffer.byteLength(JSON.stringify(result));
      return bytes <= MAX_INLINE_BYTES ? result : await whole(event, async () => errorAnswer(tooLarge(bytes)));
    } finally {
      end.release();
    }
  }

  /**
   * Writes an answer to a response stream as it is made.
   * @param open puts the head before what is written to the stream.
   * @throws what broke the body off: Lambda breaks the response off, too.
   */
  async stream(event: unknown, context: LambdaContext, open: (head: HttpHead) => Writable): Promise<void> {
    const end = new EndSignal(context);
    try {
      const { head, response } = await answered(event, (request, env) =>
        this.#fetch(request, { ...env, maxAnswerBytes: MAX_STREAMED_BYTES }, context, end.signal),
      );
      const { statusCode, headers, cookies } = head;
      const out = open({ statusCode, ...(headers && { headers }), ...(cookies && { cookies }) });
      await writeBody(response.body ?? [], out, end.signal);
    } finally {
      end.release();
    }
  }

  async #fetch(request: Request, env: object, context: LambdaContext, signal: AbortSignal): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (request.method === "POST" && Object.hasOwn(this.#service.apis, pathname.slice(1))) {
      const given = Number(request.headers.get(CALL_HEADERS.timeout));
      try {
        const deadline = callDeadline(this.#service, context, given > 0 ? given : undefined);
        request.headers.set(CALL_HEADERS.timeout, String(Math.max(1, deadline - Date.now())));
      } catch (error) {
        return errorAnswer(ServiceError.from(error));
      }
    }
    // A request made anew with the signal would read its body through two more streams.
    Object.defineProperty(request, "signal", { value: signal });
    return this.#app.fetch(request, env);
  }
}

/**
 * Writes a body to a response stream as its chunks come, and ends it.
 * @param ending ends the writing; so does the stream's end.
 * @throws what broke the body off.
 */
export async function writeBody(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  out: Writable,
  ending: AbortSignal,
): Promise<void> {
  // Imported, it would take a part of a function's start.
  const { once } = process.getBuiltinModule("node:events");
  const closed = new AbortController();
  out.once("close", () => closed.abort(new ServiceError("CANCELED", "the response stream was closed")));
  const signal = AbortSignal.any([ending, closed.signal]);
  // Nothing is sent, not even the head, before something is written.
  let isEmpty = true;
  for await (const chunk of body) {
    signal.throwIfAborted();
    isEmpty = false;
    if (!out.write(chunk)) await once(out, "drain", { signal });
  }
  if (isEmpty) out.write("");
  out.end();
}

type Fetch = (request: Request, env: object) => Promise<Response>;

/**
 * Hono's adapter makes the request, and turns the answer's head into the result that the event's sender takes. Its
 * base64 of a body takes a fifth of a second for 4 MB, a hundred times Buffer's.
 * @param fetch answers it; the environment has the event's `requestContext`, and with it the client's address.
 */
async function answered(event: unknown, fetch: Fetch): Promise<{ head: HttpResult; response: Response }> {
  let response = new Response();
  const app = {
    fetch: async (request: Request, env: object): Promise<Response> => {
      response = await fetch(request, env);
      return new Response(null, response);
    },
  };
  const head = (await handle(app as unknown as Hono)(event as LambdaEvent)) as unknown as HttpResult;
  return { head, response };
}

async function whole(event: unknown, fetch: Fetch): Promise<HttpResult> {
  const { head, response } = await answered(event, fetch);
  const bytes = Buffer.from(await response.arrayBuffer());
  const type = response.headers.get("content-type");
  const isBase64Encoded = type !== null && defaultIsContentTypeBinary(type);
  return { ...head, body: bytes.toString(isBase64Encoded ? "base64" : "utf8"), isBase64Encoded };
}

/** Fires a moment before Lambda ends the function. */
class EndSignal {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(context: LambdaContext) {
    const error = (): ServiceError => new ServiceError("DEADLINE_EXCEEDED", "the function's time is over");
    this.#timer = setTimeout(() => this.#controller.abort(error()), Math.max(0, endOf(context) - Date.now()));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  release(): void {
    clearTimeout(this.#timer);
  }
}

function tooLarge(bytes: number): ServiceError {
  return new ServiceError(
    "PAYLOAD_TOO_LARGE",
    `the answer takes ${bytes} bytes, and a function answers 6 MB in one piece: let its URL stream (RESPONSE_STREAM), or submit a task`,
  );
}
