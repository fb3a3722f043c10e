import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, read, readSync, statSync, unlinkSync } from "node:fs";
import { link, mkdir, open, readdir, rename, rmdir, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { ServiceError } from "../errors/service-error.ts";
import { checkKey, checkPrefix } from "./key.ts";
import type { ObjectStore, PutOptions } from "./object-store.ts";

/** Where objects are written before they are put in place. `~` is in no key. */
const UNFINISHED = "~unfinished";
/** Milliseconds without a write after which an unfinished object is taken for a dead process's. */
const ABANDONED_MS = 600_000;
/** Bytes up to which an object is read, or written, in one go. */
const SMALL = 2 ** 18;
/** Bytes of a large object between two looks at the signal. */
const PIECE = 2 ** 24;
/** How often a put makes its folder before it gives up: a sweep may remove it again at any time. */
const ATTEMPTS = 100;
const PAGE = 1000;

type Chunks = readonly Uint8Array[] | AsyncIterable<Uint8Array>;

/**
 * Objects as files below a folder, which processes of one machine may share. A process that dies leaves no half object;
 * nothing is flushed, so a power failure may lose the newest ones. A key cannot be another key's folder: `a` and `a/b`
 * cannot both be.
 * @throws ServiceError INTERNAL where the file system refuses.
 */
export class DiskStore implements ObjectStore {
  readonly folder: string;
  readonly #tag = randomUUID();
  #written = 0;

  constructor(folder: string) {
    this.folder = resolve(folder);
  }

  async put(key: string, chunks: readonly Uint8Array[], { ifAbsent = false, signal }: PutOptions = {}) {
    const small = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0) <= SMALL;
    return await this.#put(key, small && chunks.length > 1 ? [Buffer.concat(chunks)] : chunks, ifAbsent, signal);
  }

  async receive(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<boolean> {
    return await this.#put(key, body, true, signal);
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    signal?.throwIfAborted();
    // Callers ask until an object is there: looking costs a microsecond, an open that fails five, a promise's twenty.
    if (!isFile(path)) return undefined;
    try {
      return await readFile(path, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (codeOf(error) === "ENOENT") return undefined;
      throw this.#fault("read", key, error);
    }
  }

  async has(key: string, signal?: AbortSignal): Promise<boolean> {
    const path = this.#path(key);
    signal?.throwIfAborted();
    return isFile(path);
  }

  async size(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const path = this.#path(key);
    signal?.throwIfAborted();
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() ? found.size : undefined;
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = this.#path(key);
    signal?.throwIfAborted();
    if (!isFile(path)) return;
    await unlink(path).catch((error) => {
      if (codeOf(error) !== "ENOENT") throw this.#fault("delete", key, error);
    });
  }

  async list(prefix: string, after = "", signal?: AbortSignal): Promise<string[]> {
    const keys: string[] = [];
    checkPrefix(prefix);
    await this.#collect(prefix, after, keys, signal);
    return keys;
  }

  /**
   * Deletes objects that were last written longer ago than so many milliseconds, unfinished writes of dead processes and
   * empty folders: what a lifecycle rule does in S3. Puts may go on meanwhile.
   * @returns how many objects it deleted.
   */
  async sweep(olderThanMs: number): Promise<number> {
    const now = Date.now();
    await this.#sweep(join(this.folder, UNFINISHED), now - ABANDONED_MS);
    return await this.#sweep(this.folder, now - olderThanMs);
  }

  async close(): Promise<void> {}

  async #put(key: string, chunks: Chunks, ifAbsent: boolean, signal?: AbortSignal): Promise<boolean> {
    const path = this.#path(key);
    signal?.throwIfAborted();
    if (ifAbsent && isFile(path)) return false;
    const unfinished = join(this.folder, UNFINISHED, `${this.#tag}-${this.#written++}`);
    try {
      await write(unfinished, chunks, signal);
      return await place(unfinished, path, ifAbsent);
    } catch (error) {
      await unlink(unfinished).catch(() => {});
      signal?.throwIfAborted();
      throw ServiceError.is(error) ? error : this.#fault("write", key, error);
    }
  }

  #path(key: string): string {
    return join(this.folder, checkKey(key));
  }

  /** Folders are ordered as their keys are, by the `/` that follows the name. */
  async #collect(prefix: string, after: string, keys: string[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    for (const name of (await entriesOf(join(this.folder, prefix))).sort()) {
      if (keys.length === PAGE) return;
      const key = prefix + name;
      if (!name.endsWith("/")) {
        if (key > after) keys.push(key);
      } else if (key > after || after.startsWith(key)) await this.#collect(key, after, keys, signal);
    }
  }

  async #sweep(folder: string, before: number): Promise<number> {
    let swept = 0;
    for (const name of await entriesOf(folder)) {
      const path = join(folder, name);
      if (name.endsWith("/")) {
        swept += await this.#sweep(path, before);
        // One that is not empty stays; a put that loses its folder makes it again.
        await rmdir(path).catch(() => {});
      } else if (removeOlder(path, before)) swept++;
    }
    return swept;
  }

  #fault(doing: string, key: string, cause: unknown): ServiceError {
    const message = cause instanceof Error ? cause.message : String(cause);
    return new ServiceError("INTERNAL", `the store ${this.folder} cannot ${doing} ${key}: ${message}`, { cause });
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Parts of keys in a folder, those of folders with a `/` after them; none where no folder is. */
async function entriesOf(folder: string): Promise<string[]> {
  try {
    const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => /^[\w.-]+$/.test(name));
    return entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return [];
    throw error;
  }
}

/** Deletes a file that was last written before a time. Nothing is awaited in between, where it could be written anew. */
function removeOlder(path: string, before: number): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found || found.mtimeMs >= before) return false;
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function write(path: string, chunks: Chunks, signal?: AbortSignal): Promise<void> {
  const file = await open(path, "wx").catch(async (error) => {
    if (codeOf(error) !== "ENOENT") throw error;
    await mkdir(dirname(path), { recursive: true });
    return await open(path, "wx");
  });
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength; ) {
        signal?.throwIfAborted();
        at += (await file.write(chunk, at, Math.min(chunk.byteLength - at, PIECE))).bytesWritten;
      }
    }
  } finally {
    await file.close();
  }
}

/** Gives a finished file its name; false where it may not replace what has that name. */
async function place(unfinished: string, path: string, ifAbsent: boolean): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      if (!ifAbsent) await rename(unfinished, path);
      else {
        await link(unfinished, path);
        await unlink(unfinished).catch(() => {});
      }
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST" && !statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
        await unlink(unfinished).catch(() => {});
        return false;
      }
      if (codeOf(error) !== "ENOENT" || attempt === ATTEMPTS) throw error;
      await mkdir(dirname(path), { recursive: true }).catch((failure) => {
        if (codeOf(failure) !== "ENOENT") throw failure;
      });
    }
  }
}

const readPiece = promisify(read);

/** A file in memory of its own. A small one is in the page cache, as a rule: reading it costs less than a thread does. */
async function readFile(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.allocUnsafeSlow(size);
    for (let at = 0; at < size; ) {
      signal?.throwIfAborted();
      const length = Math.min(size - at, PIECE);
      const got =
        size <= SMALL
          ? readSync(file, bytes, at, length, at)
          : (await readPiece(file, bytes, at, length, at)).bytesRead;
      if (got === 0) throw new Error(`${path} has become shorter`);
      at += got;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}
