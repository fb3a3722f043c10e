import { ImageValue } from "./image.ts";
import { NDArray } from "./ndarray.ts";

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
