import { randomUUID } from "node:crypto";
import type http from "node:http";
import type { Readable } from "node:stream";
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES, readUpTo, writeTo } from "./bodies.ts";
import type { LocalFunction } from "./local-function.ts";

export type InvokeMode = "BUFFERED" | "RESPONSE_STREAM";

const STREAM_TYPE = "application/vnd.awslambda.http-integration-response";
/** Between the head of a streamed answer and its body. */
const DELIMITER = Buffer.alloc(8);
const URL_ID = "abcdefghij";
const DOMAIN = `${URL_ID}.lambda-url.us-east-1.on.aws`;

interface Head {
  statusCode?: number;
  headers?: Record<string, string>;
  cookies?: string[];
}

/** A function URL (https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html): events of payload version 2. */
export function functionUrl(target: LocalFunction, mode: InvokeMode): http.RequestListener {
  return (request, response) => {
    answer(target, mode, request, response).catch(() => response.destroy());
  };
}

async function answer(
  target: LocalFunction,
  mode: InvokeMode,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const fail = (status: number, message: string): void =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ Message: message }));
  const body = await readUpTo(request, MAX_EVENT_BYTES);
  if (!isUrl(request.url)) return fail(400, "Bad Request");
  const event = body && JSON.stringify(eventOf(request, body));
  if (event === undefined || Buffer.byteLength(event) > MAX_EVENT_BYTES) return fail(413, "Request Entity Too Large");
  const result = await target.invoke(event);
  if (!result) return fail(429, "Rate Exceeded.");
  if (result.kind === "error") return fail(502, "Internal Server Error");
  if (mode === "RESPONSE_STREAM" && result.streamed) return stream(result.type, result.body, response);
  const payload = await readUpTo(result.body, MAX_ANSWER_BYTES).catch(() => undefined);
  if (!payload) return fail(502, "Internal Server Error");
  const json = JSON.parse(payload.toString()) as Head & { body?: string; isBase64Encoded?: boolean };
  if (typeof json?.statusCode !== "number")
    return void response.setHeader("content-type", "application/json").end(payload);
  writeHead(response, json);
  response.end(Buffer.from(json.body ?? "", json.isBase64Encoded ? "base64" : "utf8"));
}

function isUrl(path = "/"): boolean {
  try {
    decodeURI(new URL(path, "http://x").pathname);
    return true;
  } catch {
    return false;
  }
}

function eventOf(request: http.IncomingMessage, body: Buffer): object {
  const { pathname, search, searchParams } = new URL(request.url ?? "/", "http://x");
  const { cookie, ...rest } = request.headers;
  const headers = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)]));
  const isText = /^(text\/|application\/(json|javascript|xml))/.test(headers["content-type"] ?? "");
  const query = Object.fromEntries([...searchParams.keys()].map((name) => [name, searchParams.getAll(name).join(",")]));
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: decodeURI(pathname),
    rawQueryString: search.slice(1),
    ...(cookie && { cookies: cookie.split("; ") }),
    headers: { ...headers, host: DOMAIN, "x-forwarded-proto": "https" },
    ...(search && { queryStringParameters: query }),
    requestContext: {
      accountId: "anonymous",
      apiId: URL_ID,
      domainName: DOMAIN,
      domainPrefix: URL_ID,
      http: {
        method: request.method,
        path: decodeURI(pathname),
        protocol: "HTTP/1.1",
        sourceIp: request.socket.remoteAddress,
        userAgent: headers["user-agent"] ?? "",
      },
      requestId: randomUUID(),
      routeKey: "$default",
      stage: "$default",
      time: new Date().toUTCString(),
      timeEpoch: Date.now(),
    },
    ...(body.byteLength > 0 && { body: body.toString(isText ? "utf8" : "base64") }),
    isBase64Encoded: body.byteLength > 0 && !isText,
  };
}

function writeHead(response: http.ServerResponse, { statusCode = 200, headers = {}, cookies = [] }: Head): void {
  for (const cookie of cookies) response.appendHeader("set-cookie", cookie);
  response.writeHead(statusCode, headers);
}

/**
 * Passes on what a function streams, as it comes; a function that fails on the way breaks the answer off. One whose client
 * has gone works on, unheard.
 */
async function stream(
  type: string,
  body: Readable & Pick<http.IncomingMessage, "trailers">,
  response: http.ServerResponse,
): Promise<void> {
  let head: Buffer | undefined = Buffer.alloc(0);
  if (type !== STREAM_TYPE) {
    writeHead(response, { headers: { "content-type": type } });
    head = undefined;
  }
  try {
    for await (let chunk of body as AsyncIterable<Buffer>) {
      if (head) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(DELIMITER);
        if (end < 0) continue;
        writeHead(response, JSON.parse(head.subarray(0, end).toString()) as Head);
        chunk = head.subarray(end + DELIMITER.byteLength);
        head = undefined;
      }
      await writeTo(response, chunk);
    }
  } catch (error) {
    if (response.headersSent) throw error;
    return void response
      .writeHead(502, { "content-type": "application/json" })
      .end('{"Message":"Internal Server Error"}');
  }
  if (body.trailers["lambda-runtime-function-error-type"]) response.destroy();
  else response.end();
}
