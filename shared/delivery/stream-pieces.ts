import { ServiceError } from "../errors/service-error.ts";
import type { IncomingCall, ServiceHost } from "../service/host.ts";
import { encodeItem } from "../transport/frame-items.ts";
import { callItems } from "../transport/frame-server.ts";
import type { CallObjects } from "./call-objects.ts";

/** Bytes gathered while a piece is being written; the stream waits where it is ahead by more. */
const MAX_AHEAD = 2 ** 18;
/** Bytes of one stream that the store takes. */
const MAX_STREAM_BYTES = 2 ** 30;

/** Another run of the same call has written a piece: this one must not go on. */
const SUPERSEDED = new ServiceError("CONFLICT", "another run of the call writes its stream");

export function isSuperseded(error: unknown): boolean {
  return error === SUPERSEDED;
}

/**
 * Runs a call that streams. Its items go to the store as the body of an HTTP answer would, cut into pieces: one as soon as
 * the first item is there, then one with all that came while the piece before it was written. Progress, the end and an
 * error are items, too.
 * @returns how many pieces there are.
 * @throws ServiceError what the call failed with, which its reader finds in the last piece.
 */
export async function runStream(
  host: ServiceHost,
  api: string,
  input: unknown,
  incoming: IncomingCall,
  objects: CallObjects,
  id: string,
): Promise<{ pieces: number }> {
  const stopped = new AbortController();
  const writer = new PieceWriter(objects, id, (error) => stopped.abort(error));
  const signal = incoming.signal ? AbortSignal.any([incoming.signal, stopped.signal]) : stopped.signal;
  try {
    let failure: ServiceError | undefined;
    for await (const item of callItems(host, api, input, { ...incoming, signal })) {
      if (item.kind === "error") failure = item.error;
      // A run that is stopped before it gave anything leaves the stream to the next one.
      if (failure && incoming.signal?.aborted && !writer.begun) throw failure;
      await writer.write(encodeItem(item));
    }
    const pieces = await writer.finish();
    if (failure) throw failure;
    return { pieces };
  } catch (error) {
    stopped.abort();
    throw error;
  }
}

class PieceWriter {
  readonly #objects: CallObjects;
  readonly #id: string;
  readonly #onFailure: (error: unknown) => void;
  #pieces = 0;
  #chunks: Uint8Array[] = [];
  #gathered = 0;
  #total = 0;
  #writing: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  /** @param onFailure hears at once that a piece could not be written; every later write throws the same. */
  constructor(objects: CallObjects, id: string, onFailure: (error: unknown) => void) {
    this.#objects = objects;
    this.#id = id;
    this.#onFailure = onFailure;
  }

  /** Whether anything has been written, or will be. */
  get begun(): boolean {
    return this.#total > 0;
  }

  async write(chunks: Uint8Array[]): Promise<void> {
    // What follows a piece that could not be written would leave a gap.
    this.#throwFailure();
    this.#chunks.push(...chunks);
    for (const { byteLength } of chunks) {
      this.#gathered += byteLength;
      this.#total += byteLength;
    }
    if (this.#total > MAX_STREAM_BYTES)
      throw new ServiceError("PAYLOAD_TOO_LARGE", `a stream of more than ${MAX_STREAM_BYTES} bytes cannot be queued`);
    this.#writing ??= this.#flush();
    if (this.#gathered > MAX_AHEAD) await this.#writing;
    this.#throwFailure();
  }

  async finish(): Promise<number> {
    while (this.#writing !== undefined) await this.#writing;
    this.#throwFailure();
    return this.#pieces;
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #flush(): Promise<void> {
    try {
      while (this.#chunks.length > 0) {
        const chunks = this.#chunks;
        this.#chunks = [];
        this.#gathered = 0;
        if (!(await this.#objects.putItems(this.#id, this.#pieces, chunks))) throw SUPERSEDED;
        this.#pieces++;
      }
    } catch (error) {
      this.#failure = { error };
      this.#onFailure(error);
    } finally {
      this.#writing = undefined;
    }
  }
}
