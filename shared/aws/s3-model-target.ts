import { createReadStream } from "node:fs";
import { HeadObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import type { ModelTarget } from "../model/push-model.ts";
import { awsRequest, errorName } from "./request.ts";
import { parseS3Model, type S3ModelPlace } from "./s3-model.ts";
import { newS3Client } from "./s3-store.ts";

/** An object has 10,000 parts at most: files of up to 640 GB. */
const PART_BYTES = 64 * 2 ** 20;
const PARALLEL = 4;
/** Bytes a millisecond, about 8 Mbit/s: slower than that, an upload's deadline passes. */
const SLOWEST = 1000;

/** Sends a model to a bucket: large files in parts, with their sha256 as metadata, by which they are known again. */
export class S3ModelTarget implements ModelTarget {
  readonly #place: S3ModelPlace;
  readonly #client: S3Client;

  constructor(place: S3ModelPlace, client: S3Client) {
    this.#place = place;
    this.#client = client;
  }

  /** @throws TypeError for a URL that names no bucket. */
  static at(url: string): S3ModelTarget {
    return new S3ModelTarget(parseS3Model(url), newS3Client());
  }

  async put(...[path, source, file]: Parameters<ModelTarget["put"]>): Promise<boolean> {
    const { bucket, prefix } = this.#place;
    const at = { Bucket: bucket, Key: prefix + path };
    const what = `bucket ${bucket}, ${prefix}${path}`;
    if (file && (await this.#isThere(at, what, file.sha256))) return false;
    const upload = new Upload({
      client: this.#client,
      partSize: PART_BYTES,
      queueSize: PARALLEL,
      params: { ...at, Body: createReadStream(source), ...(file && { Metadata: { sha256: file.sha256 } }) },
    });
    const send = async (signal: AbortSignal): Promise<void> => {
      signal.addEventListener("abort", () => void upload.abort(), { once: true });
      await upload.done();
    };
    await awsRequest(what, send, { timeoutMs: 60_000 + (file?.size ?? 0) / SLOWEST });
    return true;
  }

  close(): void {
    this.#client.destroy();
  }

  async #isThere(at: { Bucket: string; Key: string }, what: string, sha256: string): Promise<boolean> {
    const head = await awsRequest(what, (abortSignal) =>
      this.#client.send(new HeadObjectCommand(at), { abortSignal }).catch((error: unknown) => {
        if (/^(NoSuchKey|NotFound)$/.test(errorName(error))) return undefined;
        throw error;
      }),
    );
    return head?.Metadata?.sha256 === sha256;
  }
}
