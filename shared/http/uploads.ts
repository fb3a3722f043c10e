import { ServiceError } from "../errors/service-error.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { madeAt, newId } from "./upload-id.ts";

/** Seconds until which the bytes of an upload must have begun to come. */
export const PUT_SECONDS = 900;
/** Seconds for which an upload can be used: as long as the store's rule keeps it at least. */
export const KEPT_SECONDS = 86_400;
/** Largest uploads that a process holds at once, as the server holds bodies. */
const HELD_UPLOADS = 8;

export interface UploadsOptions {
  service: string;
  store: ObjectStore;
  /** Bytes of an upload, and of all that one request names: as many as its body may have. */
  maxBytes: number;
}

/** What is going to be uploaded, as far as it is said. */
export interface UploadRequest {
  bytes?: number | undefined;
  content_type?: string | undefined;
}

/** How to upload it, and what it is called then. */
export interface Upload {
  /** `upload:<id>`, to be given in place of a picture or bytes. */
  readonly upload: string;
  readonly method: "PUT";
  readonly url: string;
  /** Headers that the PUT must have. */
  readonly headers: Readonly<Record<string, string>>;
  /** Until when the PUT must have begun: ISO 8601. */
  readonly expires_at: string;
}

/**
 * One service's uploads: pictures and bytes that come to the store ahead of the calls that name them. An upload is the
 * object `<service>/uploads/<id>`; `<id>.json` beside it says that it was announced, and how large it is to be. The
 * store's lifecycle rule removes both.
 */
export class Uploads {
  readonly maxBytes: number;
  readonly #store: ObjectStore;
  readonly #prefix: string;
  #held = 0;

  constructor({ service, store, maxBytes }: UploadsOptions) {
    this.maxBytes = maxBytes;
    this.#store = store;
    this.#prefix = `${service}/uploads/`;
  }

  /**
   * Announces an upload.
   * @param urlOf the URL at which this server takes an upload's bytes, where nobody else can.
   * @throws ServiceError PAYLOAD_TOO_LARGE where more bytes are announced than are taken.
   */
  async create(request: UploadRequest, urlOf: (id: string) => string): Promise<Upload> {
    const { bytes, content_type: contentType } = request;
    if (bytes !== undefined && bytes > this.maxBytes) throw tooLarge(bytes, this.maxBytes);
    const id = newId(Date.now());
    await this.#store.put(this.#announcement(id), [Buffer.from(JSON.stringify(request))]);
    const presigner = await this.#store.presigner?.();
    const { url, headers } = presigner
      ? await presigner.put(this.#prefix + id, { seconds: PUT_SECONDS, bytes, contentType })
      : { url: urlOf(id), headers: contentType === undefined ? {} : { "content-type": contentType } };
    const expires_at = new Date(Date.now() + PUT_SECONDS * 1000).toISOString();
    return { upload: `upload:${id}`, method: "PUT", url, headers, expires_at };
  }

  /**
   * Takes an upload's bytes, where the store itself cannot.
   * @param length of the body, where it is known.
   * @throws ServiceError NOT_FOUND for one that was not announced, GONE when it is too late, CONFLICT for a second time,
   * PAYLOAD_TOO_LARGE over the limit, INVALID_ARGUMENT for another length than was announced or a body that breaks off.
   */
  async receive(id: string, body: AsyncIterable<Uint8Array>, length?: number, signal?: AbortSignal): Promise<void> {
    const announced = await this.#announced(id, signal);
    if (!announced) throw unknown(id);
    if (age(id) >= PUT_SECONDS) throw new ServiceError("GONE", "the url has expired: POST /uploads gives a new one");
    const { bytes } = announced;
    const { receive } = this.#store;
    if (!receive || (await this.#store.presigner?.()))
      throw new ServiceError("NOT_FOUND", "bytes are not taken here: PUT them to the url that POST /uploads gave");
    if (bytes !== undefined && length !== undefined && length !== bytes) throw otherLength(bytes);
    if (length !== undefined && length > this.maxBytes) throw tooLarge(length, this.maxBytes);
    const first = await receive.call(this.#store, this.#prefix + id, counted(body, this.maxBytes, bytes), signal);
    if (!first) throw new ServiceError("CONFLICT", "the upload has its bytes already: POST /uploads for another one");
  }

  /** Reads the uploads that one request names. To be disposed of when they are needed no more. */
  reader(signal?: AbortSignal): UploadReader {
    return new UploadReader(this, signal);
  }

  /**
   * An upload's bytes.
   * @param claim is told their number first, and throws where they are too many.
   * @throws ServiceError NOT_FOUND for an unknown one, GONE for one that has expired, CONFLICT for one whose bytes have not
   * come yet.
   */
  async read(id: string, claim: (bytes: number) => void, signal?: AbortSignal): Promise<Uint8Array> {
    if (madeAt(id) === undefined) throw unknown(id);
    if (age(id) >= KEPT_SECONDS) throw expired();
    const size = await this.#store.size(this.#prefix + id, signal);
    if (size === undefined) {
      if (!(await this.#announced(id, signal))) throw unknown(id);
      if (age(id) >= PUT_SECONDS) throw expired();
      throw new ServiceError("CONFLICT", "nothing is there yet: PUT the bytes to the upload's url first");
    }
    claim(size);
    const bytes = await this.#store.get(this.#prefix + id, signal);
    if (!bytes) throw expired();
    return bytes;
  }

  /**
   * Counts bytes that are held in memory.
   * @throws ServiceError RESOURCE_EXHAUSTED where they would be too many.
   */
  hold(bytes: number): void {
    const most = HELD_UPLOADS * this.maxBytes;
    if (this.#held + bytes > most) {
      const message = `uploads of ${most} bytes in all are being worked on; try again`;
      throw new ServiceError("RESOURCE_EXHAUSTED", message, { retryAfter: 1 });
    }
    this.#held += bytes;
  }

  release(bytes: number): void {
    this.#held -= bytes;
  }

  async #announced(id: string, signal?: AbortSignal): Promise<UploadRequest | undefined> {
    if (madeAt(id) === undefined) return undefined;
    const bytes = await this.#store.get(this.#announcement(id), signal);
    return bytes && (JSON.parse(Buffer.from(bytes).toString()) as UploadRequest);
  }

  #announcement(id: string): string {
    return `${this.#prefix}${id}.json`;
  }
}

/** Reads uploads for one request: all of them together have no more bytes than a body may. */
export class UploadReader {
  readonly #uploads: Uploads;
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;

  constructor(uploads: Uploads, signal: AbortSignal | undefined) {
    this.#uploads = uploads;
    this.#signal = signal;
  }

  /** @throws ServiceError as {@link Uploads.read}; PAYLOAD_TOO_LARGE and RESOURCE_EXHAUSTED over a limit. */
  async read(id: string): Promise<Uint8Array> {
    const claim = (bytes: number): void => {
      const all = this.#bytes + bytes;
      if (all > this.#uploads.maxBytes) throw tooLarge(all, this.#uploads.maxBytes);
      this.#uploads.hold(bytes);
      this.#bytes = all;
    };
    return await this.#uploads.read(id, claim, this.#signal);
  }

  [Symbol.dispose](): void {
    this.#uploads.release(this.#bytes);
    this.#bytes = 0;
  }
}

/** Seconds since an id was made. */
function age(id: string): number {
  return (Date.now() - (madeAt(id) ?? 0)) / 1000;
}

async function* counted(body: AsyncIterable<Uint8Array>, most: number, exactly?: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.byteLength;
      if (bytes > most) throw tooLarge(bytes, most);
      yield chunk;
    }
  } catch (cause) {
    if (ServiceError.is(cause)) throw cause;
    throw new ServiceError("INVALID_ARGUMENT", "the body is cut off", { cause });
  }
  if (exactly !== undefined && bytes !== exactly) throw otherLength(exactly);
}

function unknown(id: string): ServiceError {
  return new ServiceError("NOT_FOUND", `there is no upload ${JSON.stringify(id.slice(0, 64))}`);
}

function expired(): ServiceError {
  return new ServiceError("GONE", "the upload has expired: POST /uploads for another one");
}

function otherLength(bytes: number): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${bytes} bytes were announced, and others came`);
}

function tooLarge(bytes: number, most: number): ServiceError {
  return new ServiceError("PAYLOAD_TOO_LARGE", `${bytes} bytes of uploads are over the limit of ${most} bytes`);
}
