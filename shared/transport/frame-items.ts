/**
 * A stream of frames: what a streaming api gives, or a single result that progress goes before. Each item is
 * `u32 kind | u32 frame length | frame`, little endian; the frame's own length is a multiple of 8, so frames stay aligned.
 */
import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import { ServiceError, type ServiceErrorJson } from "../errors/service-error.ts";

const KINDS = { value: 1, progress: 2, error: 3, end: 4 } as const;

export type Item =
  | { kind: "value"; value: unknown }
  | { kind: "progress"; fraction: number; preview?: Uint8Array }
  | { kind: "error"; error: ServiceError }
  | { kind: "end" };

/** An item as chunks to be written one after the other. */
export function encodeItem(item: Item): Uint8Array[] {
  const frame: Frame = encodeFrame(bodyOf(item));
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32LE(KINDS[item.kind], 0);
  head.writeUInt32LE(frame.byteLength, 4);
  return [head, ...frame.chunks];
}

function bodyOf(item: Item): unknown {
  switch (item.kind) {
    case "value":
      return item.value;
    case "progress":
      return { fraction: item.fraction, ...(item.preview && { preview: item.preview }) };
    case "error":
      return item.error.toJSON();
    case "end":
      return null;
  }
}

/**
 * Reads items off a body, up to `end` or `error`. A reader that stops earlier gives up the body, and with it the
 * connection; one that reads to the end leaves the connection free for the next call.
 * @throws ServiceError INVALID_ARGUMENT when the body is malformed; a plain Error when it breaks off before an `end` item.
 */
export async function* decodeItems(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Item> {
  const reader = new ChunkReader(body);
  try {
    while (true) {
      const head = await reader.read(8);
      if (!head) throw new Error("the connection ended before the answer did");
      const view = new DataView(head.buffer, head.byteOffset, 8);
      const length = view.getUint32(4, true);
      if (length > maxBytes)
        throw new ServiceError("PAYLOAD_TOO_LARGE", `an item of ${length} bytes is over the limit of ${maxBytes}`);
      const frame = await reader.read(length);
      if (!frame) throw new Error("the connection ended within an answer");
      const item = itemOf(view.getUint32(0, true), decodeFrame(frame));
      const last = item.kind === "end" || item.kind === "error";
      if (last && !(await reader.ended())) throw malformed("bytes follow its end");
      yield item;
      if (last) return;
    }
  } finally {
    await reader.close();
  }
}

/** Whether whole items, one after the other, hold a stream's last one. */
export function holdsEnd(items: Uint8Array): boolean {
  const view = new DataView(items.buffer, items.byteOffset, items.byteLength);
  for (let at = 0; at + 8 <= view.byteLength; at += 8 + view.getUint32(at + 4, true)) {
    const kind = view.getUint32(at, true);
    if (kind === KINDS.end || kind === KINDS.error) return true;
  }
  return false;
}

function itemOf(kind: number, body: unknown): Item {
  if (kind === KINDS.value) return { kind: "value", value: body };
  if (kind === KINDS.end) return { kind: "end" };
  if (typeof body !== "object" || body === null) throw malformed("an item has no members");
  if (kind === KINDS.error) return { kind: "error", error: ServiceError.fromJSON(body as ServiceErrorJson) };
  if (kind !== KINDS.progress) throw malformed(`it has an item of kind ${kind}`);
  const { fraction, preview } = body as { fraction: unknown; preview?: unknown };
  if (typeof fraction !== "number") throw malformed("its progress is no number");
  return { kind: "progress", fraction, ...(preview instanceof Uint8Array && { preview }) };
}

function malformed(why: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `the stream of items is malformed: ${why}`);
}

/** Gathers exactly as many bytes as asked for, each read in a buffer of its own, so that views of it are aligned. */
class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  async read(length: number): Promise<Uint8Array | undefined> {
    const out = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.byteLength === 0) {
        const next = await this.#chunks.next();
        if (next.done) return undefined;
        this.#rest = next.value;
      }
      const take = this.#rest.subarray(0, length - filled);
      out.set(take, filled);
      filled += take.byteLength;
      this.#rest = this.#rest.subarray(take.byteLength);
    }
    return out;
  }

  /** Waits for the end of the body; false when something else comes. */
  async ended(): Promise<boolean> {
    return this.#rest.byteLength === 0 && (await this.#chunks.next()).done === true;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
