import type { Presigner } from "./presigner.ts";

export interface PutOptions {
  /** Writes only where no object is: S3's `If-None-Match: *`. */
  ifAbsent?: boolean;
  signal?: AbortSignal;
}

/**
 * Objects by key, as S3 keeps them: whole values, written and replaced at once, never seen half-written. Keys are paths
 * of letters, digits, `-`, `_`, `.` and `/`. The store suite in test/store says what every driver must do.
 */
export interface ObjectStore {
  /**
   * Writes an object given as chunks. Of several writers with `ifAbsent` exactly one gets `true`; gives `false` where an
   * object was. Without it, the last writer wins.
   */
  put(key: string, chunks: readonly Uint8Array[], options?: PutOptions): Promise<boolean>;
  /** The object in memory of its own, so that views of it are aligned; undefined where none is. */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  has(key: string, signal?: AbortSignal): Promise<boolean>;
  /** An object's bytes, counted; undefined where none is. */
  size(key: string, signal?: AbortSignal): Promise<number | undefined>;
  /** Deletes an object; nothing happens where none is. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** Keys below a prefix that ends in `/`, in order of their characters' codes, 1,000 at most, those after `after`. */
  list(prefix: string, after?: string, signal?: AbortSignal): Promise<string[]>;
  /** Lets others reach objects by themselves; undefined in a store that nobody else can reach, which has `receive`. */
  presigner?(): Promise<Presigner | undefined>;
  /** Writes an object as its bytes come, where none is; what they throw leaves nothing. Otherwise as {@link ObjectStore.put}. */
  receive?(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}
