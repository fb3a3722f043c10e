import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

/** Bytes of an event (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). */
export const MAX_EVENT_BYTES = 6 * 2 ** 20;
/** Bytes of an answer in one piece. */
export const MAX_ANSWER_BYTES = MAX_EVENT_BYTES + 100;

/** Reads a body to its end, so that its sender is done; undefined where it has more bytes than that. */
export async function readUpTo(body: Readable, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
  }
  return bytes <= maxBytes ? Buffer.concat(chunks) : undefined;
}

/** Writes a chunk and waits until there is room for the next one. Once nobody reads any longer, it throws it away. */
export async function writeTo(out: Writable, chunk: Uint8Array): Promise<void> {
  if (out.destroyed || out.write(chunk)) return;
  const waiting = new AbortController();
  const { signal } = waiting;
  try {
    await Promise.race([once(out, "drain", { signal }), once(out, "close", { signal })]);
  } finally {
    waiting.abort();
  }
}
