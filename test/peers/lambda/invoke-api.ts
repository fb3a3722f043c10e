import type http from "node:http";
import { buffer } from "node:stream/consumers";
import type { Invoke } from "./local-lambda.ts";

const PATH = /^\/2015-03-31\/functions\/[^/]+\/invocations$/;
/** Bytes of an event and of an answer. */
const MAX_BYTES = 6 * 2 ** 20;

/** Lambda's Invoke API (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html) in front of one function. */
export function invokeApi(invoke: Invoke): http.RequestListener {
  return (request, response) => {
    answer(invoke, request, response).catch(() => response.destroy());
  };
}

async function answer(invoke: Invoke, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const body = await buffer(request);
  const refuse = (status: number, name: string): void => {
    response.writeHead(status, { "content-type": "application/json", "x-amzn-errortype": name });
    response.end(JSON.stringify({ Type: "User", Message: name }));
  };
  if (request.method !== "POST" || !PATH.test(request.url ?? "")) return refuse(404, "ResourceNotFoundException");
  if (body.byteLength > MAX_BYTES) return refuse(413, "RequestTooLargeException");
  const event = body.toString() || "{}";
  const type = request.headers["x-amz-invocation-type"] ?? "RequestResponse";
  if (type === "DryRun") return void response.writeHead(204).end();
  if (type === "Event") {
    void invoke(event).then((result) => result?.kind === "answer" && result.body.resume());
    return void response.writeHead(202).end();
  }
  const result = await invoke(event);
  if (!result) return refuse(429, "TooManyRequestsException");
  const payload = result.kind === "error" ? Buffer.from(result.json) : await buffer(result.body);
  const broken = result.kind === "answer" && result.body.trailers["lambda-runtime-function-error-type"];
  const large = payload.byteLength > MAX_BYTES;
  response.writeHead(200, {
    "content-type": "application/json",
    "x-amz-executed-version": "$LATEST",
    ...((result.kind === "error" || broken || large) && { "x-amz-function-error": "Unhandled" }),
  });
  response.end(large ? JSON.stringify({ errorType: "Function.ResponseSizeTooLarge" }) : payload);
}
