import { GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { PresignedRequest, Presigner } from "../store/presigner.ts";
import { awsRequest } from "./request.ts";

/**
 * Presigned requests to a bucket. A URL is worth no longer than the credentials that sign it: those of a role end with its
 * session.
 * @throws ServiceError UNAVAILABLE where no credentials can be had.
 */
export class S3Presigner implements Presigner {
  readonly #client: S3Client;
  readonly #at: (key: string) => { Bucket: string; Key: string };

  /** @param at says where an object is. @throws TypeError from it, for what is no key. */
  constructor(client: S3Client, at: (key: string) => { Bucket: string; Key: string }) {
    this.#client = client;
    this.#at = at;
  }

  async put(key: string, { seconds, bytes, contentType }: Parameters<Presigner["put"]>[1]): Promise<PresignedRequest> {
    const command = new PutObjectCommand({
      ...this.#at(key),
      IfNoneMatch: "*",
      ...(contentType !== undefined && { ContentType: contentType }),
      ...(bytes !== undefined && { ContentLength: bytes }),
    });
    // It would add the checksum of the body, which is empty here and not when it is sent.
    command.middlewareStack.remove("flexibleChecksumsMiddleware");
    // The presigner leaves the type out unless it is told; one that nobody has said, the SDK makes up.
    const signableHeaders = new Set(contentType === undefined ? [] : ["content-type"]);
    const url = await awsRequest(`bucket ${this.#at(key).Bucket}`, () =>
      getSignedUrl(this.#client, command, { expiresIn: seconds, signableHeaders }),
    );
    const headers = { "if-none-match": "*", ...(contentType !== undefined && { "content-type": contentType }) };
    return { url, headers };
  }

  async get(key: string, { seconds, contentType }: Parameters<Presigner["get"]>[1]): Promise<string> {
    const command = new GetObjectCommand({ ...this.#at(key), ResponseContentType: contentType });
    return await awsRequest(`bucket ${this.#at(key).Bucket}`, () =>
      getSignedUrl(this.#client, command, { expiresIn: seconds }),
    );
  }
}
