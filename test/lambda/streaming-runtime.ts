import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { LambdaHandler } from "#shared/lambda/handler.ts";
import type { LambdaContext } from "#shared/lambda/lambda-context.ts";

type Streaming = (event: unknown, stream: PassThrough, context: LambdaContext) => Promise<void>;

const streams = new WeakSet<object>();

/** Makes a handler where Lambda's Node runtime has its globals: it streams. */
export function inStreamingRuntime(make: () => LambdaHandler): LambdaHandler {
  const before = Reflect.get(globalThis, "awslambda");
  const awslambda = {
    streamifyResponse: (handler: Streaming) => {
      streams.add(handler);
      return handler;
    },
    HttpResponseStream: {
      // As AWS's runtime: the head goes out with what is written first.
      from: (stream: PassThrough, head: object) => {
        const write = stream.write.bind(stream);
        stream.write = ((chunk: Uint8Array) => {
          stream.write = write;
          write(JSON.stringify(head));
          write(Buffer.alloc(8));
          return write(chunk);
        }) as typeof stream.write;
        return stream;
      },
    },
  };
  Object.assign(globalThis, { awslambda });
  try {
    return make();
  } finally {
    if (before === undefined) Reflect.deleteProperty(globalThis, "awslambda");
    else Object.assign(globalThis, { awslambda: before });
  }
}

/** What a handler gives, piece by piece as it is written, or in one piece where it does not stream. */
export async function* answerOf(
  handler: LambdaHandler,
  event: unknown,
  context: LambdaContext,
): AsyncGenerator<Buffer> {
  if (!streams.has(handler)) {
    yield Buffer.from(JSON.stringify((await handler(event, context)) ?? null));
    return;
  }
  const out = new PassThrough();
  Object.assign(out, { setContentType: () => undefined });
  const done = (handler as unknown as Streaming)(event, out, context);
  done.catch((error: Error) => out.destroy(error));
  yield* out as AsyncIterable<Buffer>;
  await done;
}

export async function wholeAnswer(handler: LambdaHandler, event: unknown, context: LambdaContext): Promise<Buffer> {
  return buffer(answerOf(handler, event, context));
}
