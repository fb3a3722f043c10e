import { z } from "zod";
import { ImageValue } from "../codec/image.ts";
import { NDArray } from "../codec/ndarray.ts";
import { binaryOf } from "../codec/schemas.ts";
import type { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";

/**
 * The HTTP answer for an api's output: a picture as its file, bytes and text as they are, anything else as JSON. A
 * streaming api's items follow each other, one chunk an item, as BentoML's clients expect.
 */
export function answer(api: Service["apis"][string], output: unknown): Response {
  const kind = binaryOf(api.output)?.kind;
  if (api.stream) {
    const encode = (item: unknown): Uint8Array => {
      if (ImageValue.is(item)) return item.bytes;
      if (item instanceof Uint8Array) return item;
      return Buffer.from(typeof item === "string" ? item : JSON.stringify(jsonForm(item)));
    };
    return new Response(ReadableStream.from(map(output as AsyncIterable<unknown>, encode)), {
      headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
    });
  }
  if (kind === "image") {
    const { bytes, mediaType } = output as ImageValue;
    return binary(bytes, mediaType);
  }
  if (kind === "bytes") return binary(output as Uint8Array, "application/octet-stream");
  if (api.output instanceof z.ZodString)
    return new Response(String(output), { headers: { "content-type": "text/plain; charset=utf-8" } });
  return Response.json(jsonForm(output));
}

/** An error's HTTP answer: `{error, code, detail?}` with the code's status. */
export function errorAnswer(error: ServiceError): Response {
  const headers = new Headers();
  if (error.retryAfter !== undefined) headers.set("retry-after", String(Math.ceil(error.retryAfter)));
  return Response.json(error, { status: error.status, headers });
}

function binary(bytes: Uint8Array, type: string): Response {
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": type, "content-length": String(bytes.byteLength) },
  });
}

async function* map<T, U>(items: AsyncIterable<T>, convert: (item: T) => U): AsyncGenerator<U> {
  for await (const item of items) yield convert(item);
}

/** A value as JSON can hold it: arrays as nested lists, pictures as data URLs, bytes as base64. */
export function jsonForm(value: unknown): unknown {
  if (NDArray.is(value)) return nestedLists(value);
  if (ImageValue.is(value)) return `data:${value.mediaType};base64,${base64(value.bytes)}`;
  if (value instanceof Uint8Array) return base64(value);
  if (typeof value === "bigint") return jsonInteger(value);
  if (Array.isArray(value)) return value.map(jsonForm);
  if (typeof value === "object" && value !== null && !(value instanceof Date))
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, jsonForm(member)]));
  return value;
}

function nestedLists(array: NDArray): unknown {
  const { data, shape, dtype } = array.contiguous();
  const element = (at: number): unknown => {
    const item = data[at]!;
    if (dtype === "bool") return item !== 0;
    return typeof item === "bigint" ? jsonInteger(item) : item;
  };
  let next = 0;
  const build = (axis: number): unknown =>
    axis === shape.length ? element(next++) : Array.from({ length: shape[axis]! }, () => build(axis + 1));
  return build(0);
}

/** JSON's readers keep whole numbers up to 2^53; larger ones travel as text. */
function jsonInteger(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
