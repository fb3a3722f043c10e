import type { Context, MiddlewareHandler } from "hono";
import { FRAME_TYPE, ITEMS_TYPE } from "../codec/media-types.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { ID, madeAt, newId } from "./upload-id.ts";
import { KEPT_SECONDS, PUT_SECONDS } from "./uploads.ts";

/** Names of stored answers, as a pattern: an id, and base64url of the content type. */
export const ANSWER_NAME = `${ID}\\.[\\w-]+`;

/** Answers of one service that are too large to be sent along: the objects `<service>/answers/<id>.<type>`. */
export class StoredAnswers {
  readonly #store: ObjectStore;
  readonly #prefix: string;

  constructor(service: string, store: ObjectStore) {
    this.#store = store;
    this.#prefix = `${service}/answers/`;
  }

  /**
   * Stores an answer.
   * @param urlOf where this server gives it out by its name, where nobody else can.
   * @returns the URL to fetch it from.
   */
  async put(bytes: Uint8Array, contentType: string, urlOf: (name: string) => string): Promise<string> {
    // The type is part of the name, so that nobody can ask for another one.
    const name = `${newId(Date.now())}.${Buffer.from(contentType).toString("base64url")}`;
    await this.#store.put(this.#prefix + name, [bytes]);
    const presigner = await this.#store.presigner?.();
    return presigner ? await presigner.get(this.#prefix + name, { seconds: PUT_SECONDS, contentType }) : urlOf(name);
  }

  /** @throws ServiceError NOT_FOUND for an unknown one, GONE for one that has expired. */
  async get(name: string, signal?: AbortSignal): Promise<{ bytes: Uint8Array; contentType: string }> {
    const [id, type] = name.split(".") as [string, string];
    const bytes = await this.#store.get(this.#prefix + name, signal);
    if (Date.now() - (madeAt(id) ?? 0) >= KEPT_SECONDS * 1000) throw new ServiceError("GONE", "the answer has expired");
    if (!bytes) throw new ServiceError("NOT_FOUND", `there is no answer ${name.slice(0, 64)}`);
    return { bytes, contentType: Buffer.from(type, "base64url").toString() };
  }
}

/**
 * Stores an answer over the limit and sends its reader there by 303 See Other: RFC 9110 has it for an answer that is
 * another resource, to be fetched with GET whatever the request's method was. 307 would have clients send the call, input
 * and all, to the stored object. Streams and frames go as they are: nobody reads them who follows redirects.
 */
export function storingLarge(answers: StoredAnswers, maxAnswerBytes?: number): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const limit = limitOf(c) ?? maxAnswerBytes;
    const { res } = c;
    const type = res.headers.get("content-type") ?? "application/octet-stream";
    if (limit === undefined || res.status !== 200 || NEVER.has(type)) return;
    if (Number(res.headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= limit) return;
    const bytes = new Uint8Array(await res.arrayBuffer());
    const large = bytes.byteLength > limit;
    // From /api or /api/get; behind a path of a proxy's, too.
    const up = "../".repeat(c.req.path.split("/").length - 2);
    const location = large ? await answers.put(bytes, type, (name) => `${up}answers/${name}`) : "";
    // Otherwise the old answer's headers would be added to the new one's.
    c.res = undefined;
    c.res = large
      ? new Response(null, { status: 303, headers: { location, "cache-control": "no-store" } })
      : new Response(bytes, res);
  };
}

const NEVER: ReadonlySet<string> = new Set(["text/event-stream", FRAME_TYPE, ITEMS_TYPE]);

function limitOf({ env }: Context): number | undefined {
  return (env as { maxAnswerBytes?: number } | undefined)?.maxAnswerBytes;
}
