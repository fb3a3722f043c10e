import { once } from "node:events";
import type { Writable } from "node:stream";
import { ServiceError } from "../errors/service-error.ts";
import { encodeItem, type Item } from "../transport/frame-items.ts";
import { callItems } from "../transport/frame-server.ts";
import { inputOf } from "./answer-invocation.ts";
import { parseInvocation } from "./invocation.ts";
import { callDeadline, endOf, type LambdaContext } from "./lambda-context.ts";
import type { WarmService } from "./warm-service.ts";

/** Bytes that Lambda streams, 200 MB, less an error's. */
const MAX_STREAMED_BYTES = 200e6 - 65_536;

/**
 * Runs the call of an event whose caller takes items as they are made, and writes them: progress, values, the end or an
 * error.
 * @throws what broke the stream off, or the reader's having stopped to read until the function's end.
 */
export async function streamInvocation(
  service: WarmService,
  event: unknown,
  context: LambdaContext,
  out: Writable,
): Promise<void> {
  const signal = AbortSignal.timeout(Math.max(0, endOf(context) - Date.now()));
  let bytes = 0;
  for await (const item of itemsOf(service, event, context)) {
    const chunk = Buffer.concat(encodeItem(item));
    bytes += chunk.byteLength;
    const tooLarge = bytes > MAX_STREAMED_BYTES;
    if (!out.write(tooLarge ? Buffer.concat(encodeItem({ kind: "error", error: overLimit() })) : chunk))
      await once(out, "drain", { signal });
    if (tooLarge) break;
  }
  out.end();
}

async function* itemsOf(service: WarmService, event: unknown, context: LambdaContext): AsyncGenerator<Item> {
  try {
    const { calls, uploads: stored } = await service.started();
    const question = parseInvocation(event);
    const { api, callId, traceparent, idempotencyKey, accept, timeoutMs } = question;
    const deadline = callDeadline(calls.service, context, timeoutMs);
    using uploads = stored?.reader();
    const { value } = await inputOf(calls, question, service.checks, uploads);
    yield* callItems(calls, api, value, { deadline, callId, traceparent, idempotencyKey, accept });
  } catch (error) {
    yield { kind: "error", error: ServiceError.from(error) };
  }
}

function overLimit(): ServiceError {
  return new ServiceError("PAYLOAD_TOO_LARGE", "the answer is over the 200 MB that a function streams");
}
