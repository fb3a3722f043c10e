import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { ServiceError } from "../errors/service-error.ts";
import { checkKey, checkPrefix } from "../store/key.ts";
import type { ObjectStore, PutOptions } from "../store/object-store.ts";
import type { Presigner } from "../store/presigner.ts";
import { awsRequest, errorName, type RequestLimits } from "./request.ts";

/** Where an {@link S3Store} keeps its objects. */
export interface S3Location {
  bucket: string;
  /** What its objects' names begin with, before a `/`. */
  prefix?: string;
  /** Sends the requests, and stays the caller's; otherwise one that the SDK configures from the environment. */
  client?: S3Client;
}

/** Bytes a millisecond, about 8 Mbit/s: slower than that, a body's deadline passes. */
const SLOWEST = 1000;
/** How often a conditional write is tried that S3 refuses because another is on its way. */
const ATTEMPTS = 5;

/** Milliseconds for a body: 10 seconds, and one for each megabyte. */
const timeoutFor = (bytes: number): number => 10_000 + bytes / SLOWEST;

/**
 * Objects in a bucket of S3's, or of a server that speaks its protocol: with an endpoint of its own, the bucket is named
 * in the path. A request has 10 seconds, one more for each megabyte of its body.
 * @throws ServiceError UNAVAILABLE where the bucket cannot be reached, INTERNAL where it refuses.
 */
export class S3Store implements ObjectStore {
  readonly bucket: string;
  readonly #prefix: string;
  readonly #client: S3Client;
  readonly #own: boolean;

  /** @throws TypeError for a prefix that is no key. */
  constructor({ bucket, prefix = "", client }: S3Location) {
    this.bucket = bucket;
    this.#prefix = prefix && `${checkKey(prefix)}/`;
    this.#client = client ?? newS3Client();
    this.#own = !client;
  }

  async put(key: string, chunks: readonly Uint8Array[], { ifAbsent = false, signal }: PutOptions = {}) {
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const write = randomUUID();
    const command = new PutObjectCommand({
      ...this.#at(key),
      Body: body,
      ...(ifAbsent && { IfNoneMatch: "*", Metadata: { write } }),
    });
    const limits = { signal, timeoutMs: timeoutFor(body.byteLength) };
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const refusal = await this.#request(
        key,
        (abortSignal) => this.#client.send(command, { abortSignal }).then(() => undefined, refusedWrite),
        limits,
      );
      if (!refusal) return true;
      const there = await this.#head(key, signal);
      // Of two tries of one request, where the first one's answer was lost, the second meets the object of the first.
      if (there || refusal.name === "PreconditionFailed") return there?.Metadata?.write === write;
    }
    const message = `bucket ${this.bucket}, ${this.#prefix}${key}: others are writing it`;
    throw new ServiceError("UNAVAILABLE", message, { retryAfter: 1 });
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const command = new GetObjectCommand(this.#at(key));
    const answer = await this.#request(
      key,
      (abortSignal) => this.#client.send(command, { abortSignal }).catch(absent),
      { signal },
    );
    if (!answer) return undefined;
    const limits = { signal, timeoutMs: timeoutFor(answer.ContentLength ?? 0) };
    return await this.#request(key, (abortSignal) => readBody(answer, abortSignal), limits);
  }

  async has(key: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#head(key, signal)) !== undefined;
  }

  async size(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const head = await this.#head(key, signal);
    return head && (head.ContentLength ?? 0);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand(this.#at(key));
    await this.#request(key, (abortSignal) => this.#client.send(command, { abortSignal }).catch(absent), { signal });
  }

  async list(prefix: string, after = "", signal?: AbortSignal): Promise<string[]> {
    const command = new ListObjectsV2Command({
      Bucket: this.bucket,
      Prefix: this.#prefix + checkPrefix(prefix),
      ...(after && { StartAfter: this.#prefix + after }),
    });
    const answer = await this.#request(prefix, (abortSignal) => this.#client.send(command, { abortSignal }), {
      signal,
    });
    return (answer.Contents ?? []).map(({ Key }) => Key!.slice(this.#prefix.length));
  }

  async presigner(): Promise<Presigner> {
    const { S3Presigner } = await import("./presign.ts");
    return new S3Presigner(this.#client, (key) => this.#at(key));
  }

  async close(): Promise<void> {
    if (this.#own) this.#client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.bucket, Key: this.#prefix + checkKey(key) };
  }

  #head(key: string, signal?: AbortSignal): Promise<HeadObjectCommandOutput | undefined> {
    const command = new HeadObjectCommand(this.#at(key));
    return this.#request(key, (abortSignal) => this.#client.send(command, { abortSignal }).catch(absent), { signal });
  }

  #request<T>(key: string, send: (signal: AbortSignal) => Promise<T>, limits: RequestLimits): Promise<T> {
    return awsRequest(`bucket ${this.bucket}, ${this.#prefix}${key}`, send, limits);
  }
}

/** A client that the SDK configures; with an endpoint in the environment, buckets are named in the path. */
export function newS3Client(): S3Client {
  const endpoint = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  return new S3Client({ ...(endpoint && { forcePathStyle: true }) });
}

/** The refusal of a conditional write: an object is there, or another write is on its way. */
function refusedWrite(error: unknown): { name: string } {
  const name = errorName(error);
  if (name !== "PreconditionFailed" && name !== "ConditionalRequestConflict") throw error;
  return { name };
}

function absent(error: unknown): undefined {
  // The answer to HEAD has no body to name the error in; the SDK calls it NotFound.
  if (/^(NoSuchKey|NotFound)$/.test(errorName(error))) return undefined;
  throw error;
}

/** The object in memory of its own. */
async function readBody({ Body, ContentLength }: GetObjectCommandOutput, signal: AbortSignal): Promise<Uint8Array> {
  const body = Body as Readable;
  signal.addEventListener("abort", () => body.destroy(), { once: true });
  if (ContentLength === undefined) {
    const chunks = (await body.toArray()) as Uint8Array[];
    return new Uint8Array(Buffer.concat(chunks));
  }
  const bytes = Buffer.allocUnsafeSlow(ContentLength);
  let at = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  if (at !== ContentLength)
    throw Object.assign(new Error(`${at} of ${ContentLength} bytes came`), { code: "ECONNRESET" });
  return bytes;
}
