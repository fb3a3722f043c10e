import type { Hono, MiddlewareHandler } from "hono";
import { parseInput } from "../service/validation.ts";
import { type Refusals, wrongMethod } from "./answer.ts";
import { requestInput } from "./request-input.ts";
import { ANSWER_NAME, type StoredAnswers } from "./upload-answers.ts";
import { ID } from "./upload-id.ts";
import { noUploads } from "./upload-references.ts";
import type { UploadRequest, Uploads } from "./uploads.ts";

/** Adds `POST /uploads`, which says where to put an upload. Without uploads it says what is missing. */
export function addUploadRoute(
  app: Hono,
  refusals: Refusals,
  uploads: Uploads | undefined,
  limit: MiddlewareHandler,
): void {
  app.post("/uploads", limit, async (c) => {
    if (!uploads) throw noUploads();
    // Made with the first upload: a function's start has no time for schemas that few calls need.
    const { UPLOAD_REQUEST } = await import("./upload-request.ts");
    const request = parseInput(UPLOAD_REQUEST, await requestInput(c.req.raw, { input: UPLOAD_REQUEST }));
    const here = (id: string): string => new URL(`uploads/${id}`, c.req.url).href;
    return c.json(await uploads.create(request as UploadRequest, here), 201, { "cache-control": "no-store" });
  });
  refusals.set("/uploads", (c) => wrongMethod(c, ["POST"]));
}

/**
 * Adds what the store itself would answer, were it S3: the PUT of an upload and the GET of a stored answer. Like presigned
 * requests they need no key, but a name that nobody guesses, and only for a time.
 */
export function addKeylessRoutes(app: Hono, uploads: Uploads, answers: StoredAnswers): void {
  app.put(`/uploads/:id{${ID}}`, async (c) => {
    const { body, signal, headers } = c.req.raw;
    const length = headers.get("content-length");
    const nothing = new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
    await uploads.receive(c.req.param("id"), body ?? nothing, length === null ? undefined : Number(length), signal);
    return c.body(null, 204);
  });
  app.get(`/answers/:name{${ANSWER_NAME}}`, async (c) => {
    const { bytes, contentType } = await answers.get(c.req.param("name"), c.req.raw.signal);
    return c.body(bytes as Uint8Array<ArrayBuffer>, 200, {
      "content-type": contentType,
      "content-length": String(bytes.byteLength),
      "cache-control": "private, no-store",
    });
  });
}
