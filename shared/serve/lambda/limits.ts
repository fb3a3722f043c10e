import type { Readable } from "node:stream";

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
