import { randomUUID } from "node:crypto";
import type http from "node:http";
import { buffer } from "node:stream/consumers";
import type { Invoke } from "./local-lambda.ts";

/** Bytes of a request, and of an answer in one piece. */
const MAX_BYTES = 6 * 2 ** 20;
const STREAM_TYPE = "application/vnd.awslambda.http-integration-response";
/** Between the head of a streamed answer and its body. */
const DELIMITER = Buffer.alloc(8);

interface Head {
  statusCode?: number;
  headers?: Record<string, string>;
  cookies?: string[];
}

/** A function URL (https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html): events of payload version 2. */
export function functionUrl(invoke: Invoke, mode: "BUFFERED" | "RESPONSE_STREAM"): http.RequestListener {
  return (request, response) => {
    answer(invoke, mode, request, response).catch(() => response.destroy());
  };
}

async function answer(
  invoke: Invoke,
  mode: "BUFFERED" | "RESPONSE_STREAM",
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const event = JSON.stringify(eventOf(request, await buffer(request)));
  const fail = (status: number, message: string): void =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ Message: message }));
  if (Buffer.byteLength(event) > MAX_BYTES) return fail(413, "Request Entity Too Large");
  const result = await invoke(event);
  if (!result) return fail(429, "Rate Exceeded.");
  if (result.kind === "error") return fail(502, "Internal Server Error");
  if (mode === "RESPONSE_STREAM" && result.streamed) return stream(result.type, result.body, response);
  const payload = await buffer(result.body);
  if (payload.byteLength > MAX_BYTES) return fail(502, "Internal Server Error");
  const json = JSON.parse(payload.toString()) as Head & { body?: string; isBase64Encoded?: boolean };
  if (typeof json?.statusCode !== "number")
    return void response.setHeader("content-type", "application/json").end(payload);
  writeHead(response, json);
  response.end(Buffer.from(json.body ?? "", json.isBase64Encoded ? "base64" : "utf8"));
}

function eventOf(request: http.IncomingMessage, body: Buffer): object {
  const { pathname, search, searchParams } = new URL(request.url ?? "/", "http://x");
  const domainName = "abcdefghij.lambda-url.us-east-1.on.aws";
  const { cookie, ...rest } = request.headers;
  const headers = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)]));
  const isText = /^(text\/|application\/(json|javascript|xml))/.test(headers["content-type"] ?? "");
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: decodeURI(pathname),
    rawQueryString: search.slice(1),
    ...(cookie && { cookies: cookie.split("; ") }),
    headers: { ...headers, host: domainName, "x-forwarded-proto": "https" },
    ...(search && { queryStringParameters: Object.fromEntries(searchParams) }),
    requestContext: {
      accountId: "anonymous",
      apiId: "abcdefghij",
      domainName,
      domainPrefix: "abcdefghij",
      http: {
        method: request.method,
        path: decodeURI(pathname),
        protocol: "HTTP/1.1",
        sourceIp: "127.0.0.1",
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

/** Passes on what a function streams, as it comes; a function that fails on the way breaks the answer off. */
async function stream(type: string, body: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  let head: Buffer | undefined = Buffer.alloc(0);
  if (type !== STREAM_TYPE) {
    writeHead(response, { headers: { "content-type": type } });
    head = undefined;
  }
  for await (let chunk of body as AsyncIterable<Buffer>) {
    if (head) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(DELIMITER);
      if (end < 0) continue;
      writeHead(response, JSON.parse(head.subarray(0, end).toString()) as Head);
      chunk = head.subarray(end + DELIMITER.byteLength);
      head = undefined;
    }
    response.write(chunk);
  }
  if (body.trailers["lambda-runtime-function-error-type"]) response.destroy();
  else response.end();
}
