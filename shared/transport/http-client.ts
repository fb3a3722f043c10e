import http from "node:http";
import https from "node:https";
import pRetry from "p-retry";
import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import { FRAME_TYPE, ITEMS_TYPE } from "../codec/media-types.ts";
import { codeOfStatus } from "../errors/codes.ts";
import { ServiceError, type ServiceErrorJson } from "../errors/service-error.ts";
import { readBody } from "./body.ts";
import { type Boundary, boundaryOf } from "./boundary.ts";
import { CALL_HEADERS } from "./call-headers.ts";
import { decodeItems, type Item } from "./frame-items.ts";
import type { OutgoingCall, Transport } from "./transport.ts";

const MAX_ANSWER_BYTES = 2 ** 30;
/** Connections to one service, kept alive; further calls wait for one. */
const MAX_CONNECTIONS = 128;
/** Times that an idempotent call is sent again after it may have run: an input that kills its worker must not kill many. */
const MAX_REPEATS = 3;

/**
 * Gives the headers that a request is sent with instead, a signature among them. Asked anew for every try.
 * @throws ServiceError when it cannot sign.
 */
export type SignRequest = (request: {
  method: string;
  url: URL;
  headers: Record<string, string>;
  body: readonly Uint8Array[];
}) => Promise<Record<string, string>>;

export interface HttpTransportOptions {
  /** Longest time, in seconds, that a call waits for a service that does not accept connections. Default 60. */
  unavailableSeconds?: number;
  /** Sent with every request, for example `authorization`. */
  headers?: Record<string, string>;
  /** Signs every request, probes too. */
  sign?: SignRequest | undefined;
}

/** Calls a service over HTTP with binary frames, on pooled keep-alive connections. */
export class HttpTransport implements Transport {
  readonly kind = "http";
  readonly #target: http.RequestOptions;
  readonly #prefix: string;
  readonly #secure: boolean;
  readonly #agent: http.Agent;
  readonly #options: Required<Omit<HttpTransportOptions, "sign">> & Pick<HttpTransportOptions, "sign">;
  readonly #origin: string;

  /** @param url `http(s)://host:port[/prefix]`, or `unix:/path/to/socket`. */
  constructor(url: string, options: HttpTransportOptions = {}) {
    const { unavailableSeconds = 60, headers = {}, sign } = options;
    this.#options = { unavailableSeconds, headers, sign };
    const pool = { keepAlive: true, maxSockets: MAX_CONNECTIONS, scheduling: "fifo" } as const;
    if (url.startsWith("unix:")) {
      this.#target = { socketPath: url.slice("unix:".length), host: "localhost" };
      this.#prefix = "";
      this.#secure = false;
      this.#origin = "http://localhost";
    } else {
      const { protocol, hostname, port, pathname, origin } = new URL(url);
      this.#target = { host: hostname.replace(/^\[|\]$/g, ""), ...(port && { port: Number(port) }) };
      this.#prefix = pathname.replace(/\/$/, "");
      this.#secure = protocol === "https:";
      this.#origin = origin;
    }
    this.#agent = this.#secure ? new https.Agent(pool) : new http.Agent(pool);
  }

  async call(call: OutgoingCall): Promise<unknown> {
    const frame = encodeFrame(call.input);
    const api = call.service.apis[call.api]!;
    const bound = boundaryOf(call);
    let repeats = 0;
    try {
      const send = (): Promise<unknown> => this.#send(call, frame, bound.signal);
      const answer = await pRetry(send, {
        retries: 200,
        minTimeout: 50,
        maxTimeout: 1000,
        // The deadline ends the tries too, by the signal; a race between the two would make the error a matter of chance.
        maxRetryTime: this.#options.unavailableSeconds * 1000,
        randomize: true,
        signal: bound.signal,
        shouldRetry: ({ error }) => {
          if (error instanceof ConnectionError && !error.sent) return true;
          return api.idempotent && passes(error, call.service.name) && ++repeats <= MAX_REPEATS;
        },
      });
      if (!api.stream) return answer;
      return untilEnd(call.service.name, answer as AsyncIterable<unknown>, bound);
    } catch (error) {
      bound.release();
      if (bound.signal.aborted) throw bound.signal.reason;
      if (error instanceof ConnectionError) throw error.asServiceError(call.service.name);
      throw error;
    } finally {
      if (!api.stream) bound.release();
    }
  }

  async ready(signal: AbortSignal): Promise<boolean> {
    try {
      const response = await this.#request("GET", "/readyz", {}, undefined, signal);
      response.resume();
      return response.statusCode === 200;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  async #send(call: OutgoingCall, frame: Frame, signal: AbortSignal): Promise<unknown> {
    const itemized = call.progress !== undefined || call.service.apis[call.api]!.stream;
    const headers: Record<string, string> = {
      ...this.#options.headers,
      "content-type": FRAME_TYPE,
      "content-length": String(frame.byteLength),
      accept: itemized ? ITEMS_TYPE : FRAME_TYPE,
      traceparent: call.traceparent,
      [CALL_HEADERS.timeout]: String(Math.max(1, Math.ceil(call.deadline - Date.now()))),
      [CALL_HEADERS.callId]: call.callId,
    };
    if (call.accept) headers[CALL_HEADERS.accept] = call.accept;
    if (call.idempotencyKey) headers["idempotency-key"] = call.idempotencyKey;
    const response = await this.#request("POST", `/${call.api}`, headers, frame.chunks, signal);
    const type = response.headers["content-type"];
    if (response.statusCode !== 200) throw await errorOf(call, response);
    try {
      if (type === ITEMS_TYPE) {
        const values = valuesOf(call, decodeItems(response, MAX_ANSWER_BYTES));
        return call.service.apis[call.api]!.stream ? values : await only(values);
      }
      if (type === FRAME_TYPE) return decodeFrame(await readBody(response, MAX_ANSWER_BYTES));
    } catch (error) {
      throw answerFault(call, error);
    }
    response.destroy();
    throw new ServiceError("INTERNAL", `${call.service.name} answered with ${type}: it is no Tandem service`);
  }

  async #request(
    method: string,
    path: string,
    unsigned: Record<string, string>,
    chunks: Uint8Array[] | undefined,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const { sign } = this.#options;
    const url = new URL(`${this.#origin}${this.#prefix}${path}`);
    const headers = sign ? await sign({ method, url, headers: unsigned, body: chunks ?? [] }) : unsigned;
    return new Promise((resolve, reject) => {
      const { request } = this.#secure ? https : http;
      const outgoing = request({
        ...this.#target,
        agent: this.#agent,
        method,
        path: this.#prefix + path,
        headers,
        signal,
      });
      let sent = false;
      outgoing.on("socket", (socket) => {
        const connected = (): void => {
          // Dialing a port of the ephemeral range that nobody listens on may, on loopback, connect to itself (TCP's
          // simultaneous open), and then keeps the port from its service.
          if (socket.localPort !== undefined && socket.localPort === socket.remotePort)
            socket.destroy(new Error("nobody listens there: the connection met itself"));
          else sent = true;
        };
        if (socket.connecting) socket.once("connect", connected);
        else sent = true;
      });
      outgoing.on("response", resolve);
      outgoing.on("error", (error) => reject(signal.aborted ? signal.reason : new ConnectionError(error, sent)));
      outgoing.cork();
      for (const chunk of chunks ?? []) outgoing.write(chunk);
      outgoing.end();
      outgoing.uncork();
    });
  }
}

/**
 * Whether a fault of the callee may be gone the next time. One that the callee reports of a service behind it has been
 * retried there: repeating it at every hop would multiply the work.
 */
function passes(error: unknown, service: string): boolean {
  return (
    error instanceof ConnectionError ||
    (ServiceError.is(error) && error.code === "UNAVAILABLE" && error.service === service)
  );
}

/** The connection failed; `sent` says whether the callee may have seen the call. */
class ConnectionError extends Error {
  readonly sent: boolean;

  constructor(cause: Error, sent: boolean) {
    super(cause.message, { cause });
    this.sent = sent;
  }

  asServiceError(service: string): ServiceError {
    const message = this.sent
      ? `the connection to ${service} broke during the call; it may or may not have run`
      : `${service} cannot be reached`;
    return new ServiceError("UNAVAILABLE", message, { service, cause: this.cause, retryAfter: 1 });
  }
}

async function* untilEnd(service: string, values: AsyncIterable<unknown>, bound: Boundary): AsyncGenerator<unknown> {
  try {
    yield* values;
  } catch (error) {
    if (bound.signal.aborted) throw bound.signal.reason;
    throw error instanceof ConnectionError ? error.asServiceError(service) : error;
  } finally {
    bound.release();
  }
}

async function* valuesOf(call: OutgoingCall, items: AsyncIterable<Item>): AsyncGenerator<unknown> {
  let failure: ServiceError | undefined;
  try {
    for await (const item of items) {
      if (item.kind === "value") yield item.value;
      else if (item.kind === "progress") call.progress?.(item.fraction, item.preview);
      else if (item.kind === "error") failure = item.error;
    }
  } catch (error) {
    throw answerFault(call, error);
  }
  if (failure) throw failure.raisedBy(call.service.name);
}

/** A fault in reading an answer: the connection's, or the callee's own when what came makes no sense. */
function answerFault({ service }: OutgoingCall, cause: unknown): Error {
  if (cause instanceof ConnectionError || (ServiceError.is(cause) && cause.service !== undefined)) return cause;
  if (!ServiceError.is(cause)) return new ConnectionError(cause as Error, true);
  return new ServiceError("INTERNAL", `the answer of ${service.name} cannot be read`, { service: service.name, cause });
}

async function only(values: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const value of values) last = value;
  return last;
}

async function errorOf(call: OutgoingCall, response: http.IncomingMessage): Promise<ServiceError> {
  const text = Buffer.from(await readBody(response, 2 ** 20)).toString();
  const retryAfter = Number(response.headers["retry-after"]);
  try {
    const json = JSON.parse(text) as ServiceErrorJson;
    if (typeof json.error === "string" && typeof json.code === "string")
      return ServiceError.fromJSON({ service: call.service.name, ...json });
  } catch {
    // Not ours: reported by its status.
  }
  return new ServiceError(
    codeOfStatus(response.statusCode ?? 500),
    `${call.service.name} answered ${response.statusCode}: ${text.slice(0, 200)}`,
    { service: call.service.name, ...(retryAfter > 0 && { retryAfter }) },
  );
}
