import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ModelError } from "./model-error.ts";

/** Bytes of a file, `end` not included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Where a model's files are read from. */
export interface ModelSource {
  /**
   * The bytes of a file of the model: all of them, or a range that is not empty.
   * @throws ModelError `missing` where there is no such file, `unreachable` where asking again makes no sense; anything
   * else is asked again.
   */
  read(path: string, range: ByteRange | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  close(): void;
}

/**
 * Opens where a URL says that a model is: `s3://bucket/prefix/`, `https://host/path/` or `file:///folder/`.
 * @throws TypeError for any other URL.
 */
export async function openModelSource(url: string): Promise<ModelSource> {
  const protocol = URL.parse(url)?.protocol;
  if (protocol === "file:") return new FolderSource(fileURLToPath(url));
  if (protocol === "https:" || protocol === "http:") return new HttpSource(url);
  if (protocol === "s3:") {
    const { S3Model } = await import("../aws/s3-model.ts");
    return S3Model.at(url);
  }
  throw new TypeError(
    `${JSON.stringify(url)} is no model: s3://bucket/prefix/, https://host/path/ and file:///folder/ are`,
  );
}

class FolderSource implements ModelSource {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read(path: string, range: ByteRange | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const file = join(this.#folder, path);
    try {
      await stat(file);
    } catch (cause) {
      throw new ModelError("missing", `${file} is not there`, { file: path, cause });
    }
    return createReadStream(file, { signal, ...(range && { start: range.start, end: range.end - 1 }) });
  }

  close(): void {}
}

class HttpSource implements ModelSource {
  readonly #base: URL;

  constructor(url: string) {
    this.#base = new URL(url.endsWith("/") ? url : `${url}/`);
  }

  async read(path: string, range: ByteRange | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const url = new URL(path.split("/").map(encodeURIComponent).join("/"), this.#base);
    // A signed URL's query is for every file.
    url.search = this.#base.search;
    const headers = range && { range: `bytes=${range.start}-${range.end - 1}` };
    const response = await fetch(url, { signal, ...(headers && { headers }) });
    const { status } = response;
    if (response.ok && response.body && (status === 206 || !range)) return response.body;
    await response.body?.cancel();
    const named = { file: path };
    if (status === 404 || status === 410)
      throw new ModelError("missing", `${url.origin}${url.pathname} is not there`, named);
    if (status === 200)
      throw new ModelError("unreachable", `${url.origin} sends whole files only: it must know Range requests`, named);
    const message = `${url.origin}${url.pathname} is answered with ${status}`;
    if (status >= 500 || status === 429 || status === 408) throw new Error(message);
    throw new ModelError("unreachable", message, named);
  }

  close(): void {}
}
