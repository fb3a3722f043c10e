import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, ListenOptions } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { FRAME_TYPE } from "../codec/media-types.ts";
import { type Calls, keyedCalls } from "../delivery/keyed-calls.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Discovery } from "../service/discovery.ts";
import type { ServiceHost } from "../service/host.ts";
import { readBody, tooLarge } from "../transport/body.ts";
import { answerFrame, errorReply, type FrameReply } from "../transport/frame-server.ts";
import { type Ask, challengeOf } from "./access.ts";
import { type AppOptions, createApp, DEFAULT_MAX_BODY_BYTES } from "./app.ts";

/** Idle connections stay open this long; callers in other services keep theirs for less. */
const KEEP_ALIVE_MS = 75_000;

/** Bodies of the largest size that a process holds at once: they are read before a call can be refused for its number. */
const HELD_BODIES = 8;

export interface RunningServer {
  /** `http://127.0.0.1:port`, or `unix:/path`: what `TANDEM_SERVICES` takes. */
  readonly url: string;
  /** Refuses new connections, lets answers finish, closes. */
  close(): Promise<void>;
}

/**
 * Serves one service over HTTP. Calls between services (binary frames) are read and written straight on the socket;
 * everything else goes through the Hono app.
 */
export async function listen(
  host: ServiceHost,
  discovery: Discovery,
  where: ListenOptions,
  options: AppOptions = {},
): Promise<RunningServer> {
  const app = createApp(host, discovery, options);
  const calls = options.ownQueue ? keyedCalls(host, options.ownQueue) : host;
  const viaHono = getRequestListener(app.fetch);
  const maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  const maxHeldBytes = HELD_BODIES * maxBodyBytes;
  let heldBytes = 0;
  const server = http.createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    const isFrame = isFramedCall(request);
    const refusal = isFrame ? options.guard?.refusalOf(askOf(request)) : undefined;
    if (refusal) return void refuse(request, response, refusal);
    // Refused there, or a probe: nobody will read its body.
    if (!isFrame && options.guard?.knows(request.headers.authorization) === false)
      return void viaHono(request, response);
    // A body of unknown length may turn out as long as any.
    const unknown = request.headers["transfer-encoding"] === undefined ? 0 : maxBodyBytes;
    const bytes = Number(request.headers["content-length"] ?? unknown);
    if (bytes > maxBodyBytes) return void refuse(request, response, tooLarge(bytes, maxBodyBytes));
    if (heldBytes + bytes > maxHeldBytes) return void refuse(request, response, noRoom(maxHeldBytes));
    heldBytes += bytes;
    response.once("close", () => {
      heldBytes -= bytes;
    });
    if (isFrame) void serveFrame(calls, maxBodyBytes, request, response);
    else void viaHono(request, response);
  });
  server.listen(where);
  await once(server, "listening");
  const address = server.address() as AddressInfo | string;
  return {
    url: typeof address === "string" ? `unix:${address}` : `http://${hostOf(address)}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        // A connection whose answer is still being written turns idle later.
        const sweep = setInterval(() => server.closeIdleConnections(), 50);
        server.close(() => {
          clearInterval(sweep);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

function hostOf({ address, family }: AddressInfo): string {
  if (address === "0.0.0.0" || address === "::") return "127.0.0.1";
  return family === "IPv6" ? `[${address}]` : address;
}

/** Whether a request is a framed call of an api; framed submissions of tasks have routes of their own. */
function isFramedCall({ method, url, headers }: http.IncomingMessage): boolean {
  return method === "POST" && !url?.includes("/", 1) && headers["content-type"] === FRAME_TYPE;
}

function askOf({ method = "", url = "/", headers, socket }: http.IncomingMessage): Ask {
  const { authorization } = headers;
  return { method, path: url.split("?")[0]!, authorization, address: socket.remoteAddress };
}

function noRoom(maxBytes: number): ServiceError {
  const message = `bodies of ${maxBytes} bytes in all are being worked on; try again`;
  return new ServiceError("RESOURCE_EXHAUSTED", message, { retryAfter: 1 });
}

/** Longest time that a refused body is read and thrown away, so that its sender comes to read the answer. */
const DISCARD_MS = 10_000;

async function refuse(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  error: ServiceError,
): Promise<void> {
  const { status, headers, body } = errorReply(error);
  response.writeHead(status, {
    ...headers,
    ...challengeOf(error),
    "content-length": body.byteLength,
    "x-content-type-options": "nosniff",
    connection: "close",
  });
  for (const chunk of body.chunks) response.write(chunk);
  request.resume();
  // Ending the answer closes the connection, which a client in the middle of sending takes for a fault.
  if (!request.complete)
    await once(request, "close", { signal: AbortSignal.timeout(DISCARD_MS) }).catch(() => undefined);
  response.end();
}

async function serveFrame(
  calls: Calls,
  maxBodyBytes: number,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) gone.abort(new ServiceError("CANCELED", "the caller closed the connection"));
  });
  let reply: FrameReply;
  try {
    const body = await readBody(request, maxBodyBytes);
    const header = (name: string): string | undefined => {
      const value = request.headers[name];
      return Array.isArray(value) ? value[0] : value;
    };
    const api = (request.url ?? "/").split("?")[0]!.slice(1);
    reply = await answerFrame(calls, api, header, body, gone.signal);
  } catch (error) {
    if (!gone.signal.aborted) await refuse(request, response, ServiceError.from(error));
    return;
  }
  if (gone.signal.aborted) return;
  try {
    await write(response, reply, gone.signal);
  } catch {
    response.destroy();
  }
}

async function write(response: http.ServerResponse, reply: FrameReply, signal: AbortSignal): Promise<void> {
  if (!(Symbol.asyncIterator in reply.body)) {
    response.writeHead(reply.status, { ...reply.headers, "content-length": reply.body.byteLength });
    response.cork();
    for (const chunk of reply.body.chunks) response.write(chunk);
    response.end();
    response.uncork();
    return;
  }
  response.writeHead(reply.status, reply.headers);
  for await (const group of reply.body) {
    if (signal.aborted) return;
    // Not corked: a corked answer does not say when its reader falls behind.
    let flowing = true;
    for (const chunk of group) flowing = response.write(chunk);
    if (!flowing) await once(response, "drain", { signal });
  }
  response.end();
}
