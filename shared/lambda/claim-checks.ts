import { ServiceError } from "../errors/service-error.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { openStore } from "../store/open-store.ts";

/**
 * Inputs and outputs of one service that are too large for an `Invoke`: `<service>/calls/<id>/input` and `output`. The
 * store's lifecycle rule removes them. It is opened when it is first needed.
 */
export class ClaimChecks {
  readonly #prefix: string;
  readonly #storeUrl: string | undefined;
  #opened: Promise<ObjectStore> | undefined;

  /** @param storeUrl `s3://bucket[/prefix]`, or `file:/folder`. */
  constructor(service: string, storeUrl: string | undefined) {
    this.#prefix = `${service}/calls/`;
    this.#storeUrl = storeUrl;
  }

  /** Whether there is a store. */
  get usable(): boolean {
    return this.#storeUrl !== undefined;
  }

  /** @throws ServiceError PAYLOAD_TOO_LARGE where there is no store. */
  async put(id: string, what: "input" | "output", chunks: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const store = await this.#open(
      what,
      chunks.reduce((sum, { byteLength }) => sum + byteLength, 0),
    );
    await store.put(this.#key(id, what), chunks, signal && { signal });
  }

  /** @throws ServiceError NOT_FOUND where no such object is, PAYLOAD_TOO_LARGE where there is no store. */
  async get(id: string, what: "input" | "output", signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await (await this.#open(what)).get(this.#key(id, what), signal);
    if (!bytes)
      throw new ServiceError("NOT_FOUND", `the store has no ${this.#key(id, what)}: it was never put, or expired`);
    return bytes;
  }

  async close(): Promise<void> {
    await (await this.#opened?.catch(() => undefined))?.close();
    this.#opened = undefined;
  }

  async #open(what: string, bytes?: number): Promise<ObjectStore> {
    if (this.#storeUrl === undefined) {
      const size =
        bytes === undefined ? "is said to be in a store" : `of ${bytes} bytes is over the 6 MB of an invocation`;
      throw new ServiceError(
        "PAYLOAD_TOO_LARGE",
        `the ${what} ${size}, and no store is named: set TANDEM_STORE on both sides`,
      );
    }
    this.#opened ??= openStore(this.#storeUrl);
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  #key(id: string, what: string): string {
    return `${this.#prefix}${id}/${what}`;
  }
}
