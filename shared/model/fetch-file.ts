import { type FileHandle, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import pRetry from "p-retry";
import { type ManifestFile, sha256OfFile } from "./manifest.ts";
import { ModelError } from "./model-error.ts";
import type { ByteRange, ModelSource } from "./model-source.ts";

/** A piece of work; gives what is to be done because of what it found. */
export type Job = (signal: AbortSignal) => Promise<readonly Job[]>;

/** Bytes of one request. What a process that dies has fetched of its ranges is fetched again. */
const RANGE_BYTES = 16 * 2 ** 20;
const RETRIES = 5;
/** A request that brings nothing for so long is broken off, and sent again. */
const STALLED_MS = 30_000;

/**
 * One file of a model on its way to the disk. The ranges that are there are noted beside it, in a file that is gone once
 * the whole has been checked: a later process goes on from that.
 */
export class FileFetch {
  /** Bytes that were missing when the fetch began. */
  readonly missingBytes: number;
  /** Bytes that came since then. */
  fetchedBytes = 0;
  readonly #source: ModelSource;
  readonly #file: ManifestFile;
  readonly #path: string;
  readonly #journal: string;
  #missing: ByteRange[];
  /** Whether some of it was there before. */
  #resumed: boolean;
  #verified: boolean;
  #files: Promise<{ data: FileHandle; journal: FileHandle }> | undefined;

  private constructor(
    source: ModelSource,
    file: ManifestFile,
    folder: string,
    /** Where the ranges that are there begin; undefined where the file has been checked. */
    there: ReadonlySet<number> | undefined,
  ) {
    this.#source = source;
    this.#file = file;
    this.#path = join(folder, file.path);
    this.#journal = journalOf(this.#path);
    this.#verified = there === undefined;
    this.#missing = there ? rangesOf(file.size).filter(({ start }) => !there.has(start)) : [];
    this.#resumed = there !== undefined && there.size > 0;
    this.missingBytes = this.#missing.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Looks what of a file is there. @param folder the model's, while it is incomplete. */
  static async open(source: ModelSource, file: ManifestFile, folder: string): Promise<FileFetch> {
    const path = join(folder, file.path);
    const [size, journal] = await Promise.all([
      stat(path).then(
        (found) => found.size,
        () => undefined,
      ),
      readFile(journalOf(path), "utf8").catch(() => undefined),
    ]);
    if (size !== file.size) return new FileFetch(source, file, folder, new Set());
    const starts = journal?.split("\n").flatMap((line) => (/^\d+$/.test(line) ? [Number(line)] : []));
    return new FileFetch(source, file, folder, starts && new Set(starts));
  }

  /** What is to be done, in any order and at once. */
  jobs(): Job[] {
    if (this.#verified) return [];
    if (this.#missing.length === 0) return [(signal) => this.#verify(signal)];
    return this.#missing.map((range) => (signal) => this.#fetch(range, signal));
  }

  async close(): Promise<void> {
    const files = await this.#files?.catch(() => undefined);
    this.#files = undefined;
    await Promise.all([files?.data.close(), files?.journal.close()]);
  }

  async #fetch(range: ByteRange, signal: AbortSignal): Promise<readonly Job[]> {
    this.#files ??= this.#create();
    const { data, journal } = await this.#files;
    let at = range.start;
    const read = async (): Promise<void> => {
      const stalled = new AbortController();
      const timer = setTimeout(() => stalled.abort(new Error(`nothing came for ${STALLED_MS / 1000} s`)), STALLED_MS);
      try {
        const rest = { start: at, end: range.end };
        for await (const bytes of await this.#source.read(
          this.#file.path,
          rest,
          AbortSignal.any([signal, stalled.signal]),
        )) {
          if (at + bytes.byteLength > range.end) throw new Error("more bytes came than were asked for");
          await data.write(bytes, 0, bytes.byteLength, at);
          at += bytes.byteLength;
          this.fetchedBytes += bytes.byteLength;
          timer.refresh();
        }
      } finally {
        clearTimeout(timer);
      }
      if (at < range.end) throw new Error(`the answer ended ${range.end - at} bytes early`);
    };
    try {
      await pRetry(read, { retries: RETRIES, minTimeout: 200, maxTimeout: 5_000, signal, shouldRetry: passes });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ModelError || !passes({ error: error as Error })) throw error;
      const message = `${this.#file.path} cannot be fetched: ${(error as Error).message}`;
      throw new ModelError("unreachable", message, { file: this.#file.path, cause: error });
    }
    await journal.write(`${range.start}\n`);
    this.#missing = this.#missing.filter((one) => one !== range);
    return this.#missing.length === 0 ? this.jobs() : [];
  }

  /** The journal is there before the file has its size: without one, a file of the right size has been checked. */
  async #create(): Promise<{ data: FileHandle; journal: FileHandle }> {
    await mkdir(dirname(this.#path), { recursive: true });
    const journal = await open(this.#journal, this.#resumed ? "a" : "w");
    const data = await open(this.#path, this.#resumed ? "r+" : "w");
    await data.truncate(this.#file.size);
    return { data, journal };
  }

  async #verify(signal: AbortSignal): Promise<readonly Job[]> {
    const { path, sha256, size } = this.#file;
    if (size === 0) this.#files ??= this.#create();
    await this.#files;
    await this.close();
    const found = await sha256OfFile(this.#path, signal);
    if (found === sha256) {
      await rm(this.#journal, { force: true });
      this.#verified = true;
      return [];
    }
    await Promise.all([rm(this.#path), rm(this.#journal, { force: true })]);
    if (!this.#resumed)
      throw new ModelError("checksum", `${path} has sha256 ${found}, and the manifest says ${sha256}`, { file: path });
    // What an earlier process wrote may have been lost on its way to the disk.
    this.#resumed = false;
    this.#missing = rangesOf(size);
    return this.jobs();
  }
}

function journalOf(path: string): string {
  // No file of a manifest begins with a dot.
  return join(dirname(path), `.${basename(path)}.ranges`);
}

function rangesOf(size: number): ByteRange[] {
  return Array.from({ length: Math.ceil(size / RANGE_BYTES) }, (_, index) => ({
    start: index * RANGE_BYTES,
    end: Math.min(size, (index + 1) * RANGE_BYTES),
  }));
}

/** Whether it makes sense to ask again: not for what the source, or this machine's disk, says for good. */
function passes({ error }: { error: Error }): boolean {
  if (error instanceof ModelError) return false;
  return !("syscall" in error && error.syscall === "write");
}
