import type { Context } from "hono";
import { $ZodString } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { ImageValue } from "../codec/image.ts";
import { jsonForm } from "../codec/json-form.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";

/**
 * The HTTP answer for an api's output: a picture as its file, bytes and text as they are, anything else as JSON. A
 * streaming api's items follow each other, one chunk an item, as BentoML's clients expect.
 */
export async function answer(api: Service["apis"][string], output: unknown): Promise<Response> {
  const kind = binaryOf(api.output)?.kind;
  if (api.stream) {
    const encode = (item: unknown): Uint8Array => {
      if (ImageValue.is(item)) return item.bytes;
      if (item instanceof Uint8Array) return item;
      return Buffer.from(typeof item === "string" ? item : JSON.stringify(jsonForm(item)));
    };
    const items = (output as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    // A failure before the first item is an answer of its own, with its status.
    const first = await items.next();
    return new Response(ReadableStream.from(encoded(first, items, encode)), {
      headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
    });
  }
  if (kind === "image") {
    const { bytes, mediaType } = output as ImageValue;
    return binary(bytes, mediaType);
  }
  if (kind === "bytes") return binary(output as Uint8Array, "application/octet-stream");
  if (api.output instanceof $ZodString)
    return new Response(String(output), { headers: { "content-type": "text/plain; charset=utf-8" } });
  return Response.json(jsonForm(output) ?? null);
}

/** An error's HTTP answer: `{error, code, detail?}` with the code's status. */
export function errorAnswer(error: ServiceError): Response {
  const headers = new Headers();
  if (error.retryAfter !== undefined) headers.set("retry-after", String(Math.ceil(error.retryAfter)));
  return Response.json(error, { status: error.status, headers });
}

/** Characters of a warning in a header: servers and clients take some 16 KiB of headers, all together. */
const WARNING_CHARACTERS = 1000;
const WARNINGS = 4;

/** Puts what the implementation warned of into `tandem-warning` headers: ASCII, other characters as JSON escapes them. */
export function withWarnings(response: Response, warnings: readonly string[]): Response {
  for (const warning of warnings.slice(0, WARNINGS)) {
    const escaped = warning.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
    const cut = escaped.length > WARNING_CHARACTERS ? `${escaped.slice(0, WARNING_CHARACTERS)}...` : escaped;
    response.headers.append("tandem-warning", cut);
  }
  return response;
}

/**
 * By path what is answered where no route takes the request. Routes of their own for it would be more than half of an app's,
 * and a part of a function's start.
 */
export type Refusals = Map<string, (c: Context) => Response>;

/** The answer of a route that exists, to a method that it does not take. Where GET is taken, HEAD is too. */
export function wrongMethod(c: Context, methods: readonly string[]): Response {
  const message = `${c.req.path} takes ${methods.join(" or ")}, not ${c.req.method}`;
  const refusal = errorAnswer(new ServiceError("METHOD_NOT_ALLOWED", message));
  refusal.headers.set("allow", methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : method)).join(", "));
  return refusal;
}

function binary(bytes: Uint8Array, type: string): Response {
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": type, "content-length": String(bytes.byteLength) },
  });
}

/** What breaks a body off, so that the Node server, which prints it, prints nothing that a caller sent. */
function withoutInspection({ code, message }: ServiceError): ServiceError {
  const value = (): string => `a stream broke off: ${code}`;
  return Object.defineProperty(new ServiceError(code, message), Symbol.for("nodejs.util.inspect.custom"), { value });
}

async function* encoded(
  first: IteratorResult<unknown>,
  items: AsyncIterator<unknown>,
  encode: (item: unknown) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; !next.done; next = await items.next()) yield encode(next.value);
  } catch (error) {
    throw withoutInspection(ServiceError.from(error));
  } finally {
    await items.return?.();
  }
}
