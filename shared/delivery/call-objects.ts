import { createHash } from "node:crypto";
import { decodeFrame, encodeFrame, type Frame } from "../codec/frame.ts";
import type { ServiceErrorJson } from "../errors/service-error.ts";
import type { ObjectStore } from "../store/object-store.ts";

/** How a call ended. */
export interface CallResult {
  readonly output?: unknown;
  /** Set where the call failed or was canceled. */
  readonly error?: ServiceErrorJson;
  /** Milliseconds since the epoch; undefined where the call never began. */
  readonly startedAt?: number;
  readonly finishedAt: number;
}

/** What a run says of itself while it works. A fresh one is the run's lease on the call. */
export interface CallProgress {
  /** Names the run: a call that is delivered twice may be run twice. */
  readonly run: string;
  readonly startedAt: number;
  /** When this was written. */
  readonly at: number;
  /** Counts the run's reports. */
  readonly sequence: number;
  /** From 0 to 1. */
  readonly fraction: number;
  readonly preview?: Uint8Array;
}

/** Who holds an idempotency key. */
export interface CallKey {
  /** SHA-256 of the input's frame, hexadecimal. */
  readonly fingerprint: string;
  readonly createdAt: number;
}

/**
 * The objects of one service's calls: `<service>/calls/<id>/` holds `input`, `progress`, `result`, `key`, `again-<time>`
 * and, for an api that streams, `items/000000` and so on. The first result written stands: a second run's, a cancel's and a dead letter's
 * come to nothing after it.
 */
export class CallObjects {
  readonly store: ObjectStore;
  readonly #prefix: string;

  constructor(store: ObjectStore, service: string) {
    this.store = store;
    this.#prefix = `${service}/calls/`;
  }

  async putInput(id: string, frame: Frame, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(id, "input"), frame.chunks, { ...(signal && { signal }) });
  }

  /** The input's frame. */
  input(id: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.store.get(this.#key(id, "input"), signal);
  }

  /** Gives false where the call already had a result, which stands. */
  putResult(id: string, result: CallResult): Promise<boolean> {
    return this.store.put(this.#key(id, "result"), encodeFrame(result).chunks, { ifAbsent: true });
  }

  async result(id: string, signal?: AbortSignal): Promise<CallResult | undefined> {
    return (await this.#read(id, "result", signal)) as CallResult | undefined;
  }

  hasResult(id: string, signal?: AbortSignal): Promise<boolean> {
    return this.store.has(this.#key(id, "result"), signal);
  }

  /** For a call that is to run again: forgets how it went. The result goes last, so that this may be done again. */
  async deleteResult(id: string): Promise<void> {
    await this.deleteProgress(id);
    const folder = this.#key(id, "items/");
    for (let keys = await this.store.list(folder); keys.length > 0; keys = await this.store.list(folder))
      for (const key of keys) await this.store.delete(key);
    await this.store.delete(this.#key(id, "result"));
  }

  /** Says that the call is now run with nothing beside it; false where it was before, and did not come to an end. */
  markAlone(id: string): Promise<boolean> {
    return this.store.put(this.#key(id, "alone"), [], { ifAbsent: true });
  }

  /** Whether a worker that ran nothing else did not come to an end with the call. */
  wasAlone(id: string): Promise<boolean> {
    return this.store.has(this.#key(id, "alone"));
  }

  async unmarkAlone(id: string): Promise<void> {
    await this.store.delete(this.#key(id, "alone"));
  }

  async putProgress(id: string, progress: CallProgress): Promise<void> {
    await this.store.put(this.#key(id, "progress"), encodeFrame(progress).chunks);
  }

  async progress(id: string, signal?: AbortSignal): Promise<CallProgress | undefined> {
    return (await this.#read(id, "progress", signal)) as CallProgress | undefined;
  }

  /** Ends a run's lease. */
  async deleteProgress(id: string): Promise<void> {
    await this.store.delete(this.#key(id, "progress"));
  }

  /** Gives false where somebody else holds the key. */
  claimKey(id: string, key: CallKey, signal?: AbortSignal): Promise<boolean> {
    const options = { ifAbsent: true, ...(signal && { signal }) };
    return this.store.put(this.#key(id, "key"), encodeFrame(key).chunks, options);
  }

  /** Claims to run a call again that ended then, for a reason that passes. Gives false where somebody else has. */
  claimAgain(id: string, finishedAt: number, claim: CallKey, signal?: AbortSignal): Promise<boolean> {
    const options = { ifAbsent: true, ...(signal && { signal }) };
    return this.store.put(this.#key(id, `again-${finishedAt}`), encodeFrame(claim).chunks, options);
  }

  async againClaim(id: string, finishedAt: number, signal?: AbortSignal): Promise<CallKey | undefined> {
    return (await this.#read(id, `again-${finishedAt}`, signal)) as CallKey | undefined;
  }

  async key(id: string, signal?: AbortSignal): Promise<CallKey | undefined> {
    return (await this.#read(id, "key", signal)) as CallKey | undefined;
  }

  /** Writes a piece of a stream: frames as `frame-items` cuts them. False where another run has written that piece. */
  putItems(id: string, index: number, chunks: readonly Uint8Array[]): Promise<boolean> {
    return this.store.put(this.#itemsKey(id, index), chunks, { ifAbsent: true });
  }

  items(id: string, index: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.store.get(this.#itemsKey(id, index), signal);
  }

  #itemsKey(id: string, index: number): string {
    return this.#key(id, `items/${String(index).padStart(6, "0")}`);
  }

  #key(id: string, name: string): string {
    return `${this.#prefix}${id}/${name}`;
  }

  async #read(id: string, name: string, signal?: AbortSignal): Promise<unknown> {
    const bytes = await this.store.get(this.#key(id, name), signal);
    return bytes && decodeFrame(bytes);
  }
}

/** The id of a call with an idempotency key: the same for the same key. */
export function keyedId(service: string, api: string, key: string): string {
  return `k${createHash("sha256").update([service, api, key].join("\0")).digest("hex").slice(0, 32)}`;
}

/** What tells one input from another: SHA-256 of its frame, hexadecimal. */
export function fingerprintOf({ chunks }: Frame): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
