import type { Readable } from "node:stream";
import { GetObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { ModelError } from "../model/model-error.ts";
import type { ByteRange, ModelSource } from "../model/model-source.ts";
import { awsRequest, errorName } from "./request.ts";
import { newS3Client } from "./s3-store.ts";

/** A model's folder in a bucket. */
export interface S3ModelPlace {
  readonly bucket: string;
  /** Empty, or with `/` at its end. */
  readonly prefix: string;
}

/** Reads `s3://bucket/prefix/`. @throws TypeError for any other URL. */
export function parseS3Model(url: string): S3ModelPlace {
  const [, bucket, prefix] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*?)\/*)?$/.exec(url) ?? [];
  if (!bucket) throw new TypeError(`${JSON.stringify(url)} must be s3://bucket/prefix/`);
  return { bucket, prefix: prefix ? `${prefix}/` : "" };
}

/** Reads a model from a bucket. */
export class S3Model implements ModelSource {
  readonly #place: S3ModelPlace;
  readonly #client: S3Client;

  constructor(place: S3ModelPlace, client: S3Client) {
    this.#place = place;
    this.#client = client;
  }

  static at(url: string): S3Model {
    return new S3Model(parseS3Model(url), newS3Client());
  }

  async read(path: string, range: ByteRange | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { bucket, prefix } = this.#place;
    const what = `bucket ${bucket}, ${prefix}${path}`;
    const command = new GetObjectCommand({
      Bucket: bucket,
      Key: prefix + path,
      ...(range && { Range: `bytes=${range.start}-${range.end - 1}` }),
    });
    const { Body } = await awsRequest(what, (abortSignal) => this.#client.send(command, { abortSignal }), {
      signal,
    }).catch((error) => {
      if (/^(NoSuchKey|NoSuchBucket|NotFound)$/.test(errorName(error.cause ?? error)))
        throw new ModelError("missing", `${what} is not there`, { file: path, cause: error });
      // What passes is asked again; a refusal is not.
      if (error.code === "INTERNAL") throw new ModelError("unreachable", error.message, { file: path, cause: error });
      throw error;
    });
    const body = Body as Readable;
    signal.addEventListener("abort", () => body.destroy(signal.reason), { once: true });
    return body;
  }

  close(): void {
    this.#client.destroy();
  }
}
