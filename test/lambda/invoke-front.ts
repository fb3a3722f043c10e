import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { LambdaClient } from "@aws-sdk/client-lambda";
import { EVENT_STREAM_TYPE, encodeEvent } from "#shared/aws/event-stream.ts";
import type { LambdaHandler } from "#shared/lambda/handler.ts";
import { writeTo } from "#shared/serve/lambda/bodies.ts";
import { lambdaContext } from "./lambda-context.ts";
import { answerOf, wholeAnswer } from "./streaming-runtime.ts";

const PATH =
  /^\/2015-03-31\/functions\/([^/]+)\/invocations$|^\/2021-11-15\/functions\/([^/]+)\/response-streaming-invocations$/;
/** Bytes of an event and of an answer that Lambda takes: 6 MB. */
const MAX_BYTES = 6 * 2 ** 20;

/** A function that ends before it has said anything. */
const CRASHED: AsyncIterable<Buffer> = {
  [Symbol.asyncIterator]: () => ({
    next: () => Promise.reject(Object.assign(new Error("hunter2 exited"), { name: "Runtime.ExitError" })),
  }),
};

/** What a test's front answers instead of invoking a function. */
export interface Refusal {
  readonly status: number;
  readonly name: string;
  readonly headers?: Record<string, string>;
}

/** An HTTP server that plays Lambda's Invoke API and calls handlers in this process. */
export interface InvokeFront extends AsyncDisposable {
  readonly endpoint: string;
  readonly client: LambdaClient;
  /** Events that came, the newest last. */
  readonly events: unknown[];
  /** Answers the next requests. */
  readonly refusals: (Refusal | "drop" | "crash" | "break")[];
  /** Whether `InvokeWithResponseStream` is answered; otherwise it is refused so. */
  streaming: true | Refusal;
  /** How many are open that are not idle. */
  connections(): Promise<number>;
  serve(functionName: string, handler: LambdaHandler): void;
}

export async function startInvokeFront(): Promise<InvokeFront> {
  const handlers = new Map<string, LambdaHandler>();
  const events: unknown[] = [];
  const refusals: (Refusal | "drop" | "crash" | "break")[] = [];
  const server = http.createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const body = await buffer(request);
    const send = (status: number, json: string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "content-type": "application/json", "x-amzn-requestid": "1", ...headers }).end(json);
    };
    const refuse = ({ status, name, headers }: Refusal): void =>
      send(status, JSON.stringify({ Type: "User", Message: `${name}!` }), { "x-amzn-errortype": name, ...headers });
    const failed = (errorType: string, errorMessage: string): void =>
      send(200, JSON.stringify({ errorType, errorMessage }), { "x-amz-function-error": "Unhandled" });
    const [, whole, streamed] = PATH.exec(request.url ?? "") ?? [];
    const handler = handlers.get(decodeURIComponent(whole ?? streamed ?? ""));
    if (streamed && front.streaming !== true) return refuse(front.streaming);
    const refusal = refusals.shift();
    if (refusal === "drop") return void request.socket.destroy();
    if (refusal === "crash" && streamed) return stream(response, CRASHED);
    if (refusal === "crash") return failed("Runtime.ExitError", "hunter2 exited");
    if (refusal && refusal !== "break") return refuse(refusal);
    if (!handler) return refuse({ status: 404, name: "ResourceNotFoundException" });
    if (body.byteLength > MAX_BYTES) return refuse({ status: 413, name: "RequestTooLargeException" });
    const event: unknown = JSON.parse(body.toString());
    events.push(event);
    if (streamed) return stream(response, answerOf(handler, event, lambdaContext()), refusal === "break");
    try {
      const text = (await wholeAnswer(handler, event, lambdaContext())).toString();
      if (Buffer.byteLength(text) > MAX_BYTES) failed("Function.ResponseSizeTooLarge", "over 6291556 bytes");
      else send(200, text);
    } catch (error) {
      failed((error as Error).name, (error as Error).message);
    }
  };
  /** @param breaks after the first piece. */
  const stream = async (
    response: http.ServerResponse,
    pieces: AsyncIterable<Buffer>,
    breaks = false,
  ): Promise<void> => {
    response.writeHead(200, { "content-type": EVENT_STREAM_TYPE });
    let complete = {};
    try {
      // Like Lambda, it reads what the function gives whether or not somebody still listens.
      for await (const piece of pieces) {
        await writeTo(response, encodeEvent("PayloadChunk", piece));
        if (breaks) return void response.socket?.end();
      }
    } catch (error) {
      const { name, message } = error as Error;
      complete = { ErrorCode: "Unhandled", ErrorDetails: JSON.stringify({ errorType: name, errorMessage: message }) };
    }
    response.end(encodeEvent("InvokeComplete", complete));
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new LambdaClient({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    maxAttempts: 1,
    requestHandler: { httpAgent: { maxSockets: 512 } },
  });
  const front: InvokeFront = {
    endpoint,
    client,
    events,
    refusals,
    streaming: true,
    connections: async () => {
      server.closeIdleConnections();
      return promisify(server.getConnections.bind(server))();
    },
    serve: (functionName, handler) => void handlers.set(functionName, handler),
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
  return front;
}
