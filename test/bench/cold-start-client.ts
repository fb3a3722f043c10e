/**
 * Stands in for AWS's runtime client where that cannot be had: loads the handler, asks for one event after the other, and
 * answers in one piece. What the real one costs at start, it does not.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";

type Handler = (event: unknown, stream: PassThrough, context: object) => Promise<void>;

// Imported, it would load fetch with it.
const http = createRequire(import.meta.url)("node:http") as typeof import("node:http");
const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const DELIMITER = Buffer.alloc(8);
const type = "application/vnd.awslambda.http-integration-response";

Object.assign(globalThis, {
  awslambda: {
    streamifyResponse: (handler: Handler) => handler,
    HttpResponseStream: {
      from: (stream: PassThrough, head: object) => {
        stream.write(Buffer.concat([Buffer.from(JSON.stringify(head)), DELIMITER]));
        return stream;
      },
    },
  },
});

function ask(path: string, body?: Uint8Array): Promise<{ id: string; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = { "lambda-runtime-function-response-mode": "streaming", "content-type": type };
    const request = http.request(`${api}/${path}`, body ? { method: "POST", headers } : {}, async (response) =>
      resolve({ id: String(response.headers["lambda-runtime-aws-request-id"]), bytes: await buffer(response) }),
    );
    request.on("error", reject).end(body);
  });
}

const file = `${process.env._HANDLER!.split(".")[0]}.mjs`;
const { handler } = (await import(join(process.env.LAMBDA_TASK_ROOT!, file))) as { handler: Handler };
while (true) {
  const { id, bytes } = await ask("next");
  const stream = Object.assign(new PassThrough(), { setContentType: () => undefined });
  const answered = buffer(stream);
  await handler(JSON.parse(bytes.toString()), stream, { awsRequestId: id, getRemainingTimeInMillis: () => 30_000 });
  await ask(`${id}/response`, await answered);
}
