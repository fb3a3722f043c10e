import * as z from "zod/mini";
import { $ZodPipe, NEVER } from "zod/v4/core";
import { ServiceError } from "../errors/service-error.ts";
import { IMAGE_FORMATS, type ImageFormat, ImageValue } from "./image.ts";
import { type DataOf, DTYPES, type DType, MAX_DIMENSIONS, NDArray, sizeOf } from "./ndarray.ts";

/** A dimension: a fixed length, or a name that stands for any length, the same wherever it appears in one shape. */
export type Dimension = number | string;

export interface NDArrayOptions {
  /**
   * How the array travels between services. `bilevel`: values are 0 or 255 and equal over the last dimension; sent as
   * one bit a pixel, deflated (64 KB instead of 3 MB at 1024x1024). Values that are not so travel raw: it never loses.
   */
  wire?: "bilevel";
}

/** What the wire and the documentation need to know of a binary field; readable from a schema by {@link binaryOf}. */
export type BinaryField =
  | { kind: "ndarray"; dtype: DType; shape: readonly Dimension[] | undefined; wire: "bilevel" | undefined }
  | { kind: "image" }
  | { kind: "bytes" };

/** By the schema's transform, which `.describe()`, `.refine()` and the like keep when they copy the schema. */
const fields = new WeakMap<object, BinaryField>();

/** The binary field that a schema describes, or undefined for any other schema. */
export function binaryOf(schema: object): BinaryField | undefined {
  return schema instanceof $ZodPipe ? fields.get(schema._zod.def.out) : undefined;
}

function transformOf<T>(field: BinaryField, parse: (value: unknown) => T): z.ZodMiniTransform<T, unknown> {
  const transform = z.transform((value: unknown, context) => {
    try {
      return parse(value);
    } catch (error) {
      if (!ServiceError.is(error)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: value });
      return NEVER;
    }
  });
  fields.set(transform, field);
  return transform;
}

/** What an array's schema makes of a value. */
export function ndarrayTransform<D extends DType>(
  dtype: D,
  shape?: readonly Dimension[],
  options: NDArrayOptions = {},
): z.ZodMiniTransform<NDArray<D>, unknown> {
  if (!Object.hasOwn(DTYPES, dtype))
    throw new TypeError(`unknown dtype ${dtype}; one of ${Object.keys(DTYPES).join(", ")}`);
  return transformOf({ kind: "ndarray", dtype, shape, wire: options.wire }, (value) => {
    const array = NDArray.is(value) ? value : fromLists(value, dtype);
    if (array.dtype !== dtype) throw invalid(`expected an ndarray of ${dtype}, received ${array.dtype}`);
    if (shape) checkShape(array.shape, shape);
    return (options.wire ? array.withWire(options.wire) : array) as NDArray<D>;
  });
}

/** What a picture's schema makes of a value. */
export function imageTransform(): z.ZodMiniTransform<ImageValue, unknown> {
  return transformOf({ kind: "image" }, (value) => {
    if (ImageValue.is(value)) return value;
    if (value instanceof Uint8Array) return new ImageValue(value);
    if (typeof value === "string" && /^https?:/i.test(value)) throw invalid("send the picture itself, not its URL");
    if (typeof value !== "string") throw invalid("expected a picture: a file part, its bytes, base64 or a data URL");
    const url = /^data:image\/([a-z0-9.+-]+);base64,/i.exec(value);
    const format = IMAGE_FORMATS.find((name): name is ImageFormat => name === url?.[1]);
    return new ImageValue(fromBase64(url ? value.slice(url[0].length) : value), format);
  });
}

/** What the schema of bytes makes of a value. */
export function bytesTransform(): z.ZodMiniTransform<Uint8Array, unknown> {
  return transformOf({ kind: "bytes" }, (value) => {
    if (value instanceof Uint8Array) return value;
    if (typeof value !== "string") throw invalid("expected bytes: a file part or base64");
    return fromBase64(value);
  });
}

function invalid(message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", message);
}

function fromBase64(text: string): Uint8Array {
  // Blanks go first: a pattern that allows them anywhere takes quadratic time on hostile text.
  const [, digits, padding] = /^([A-Za-z0-9+/]*)(={0,2})$/.exec(text.replace(/\s+/g, "")) ?? [];
  const whole = digits !== undefined && (padding ? (digits + padding).length % 4 === 0 : digits.length % 4 !== 1);
  if (!whole) throw invalid("expected base64");
  return Buffer.from(digits, "base64");
}

function checkShape(actual: readonly number[], expected: readonly Dimension[]): void {
  const bound = new Map<string, number>();
  const fits =
    actual.length === expected.length &&
    expected.every((want, axis) => {
      const have = actual[axis]!;
      if (typeof want === "number") return have === want;
      const before = bound.get(want);
      bound.set(want, have);
      return before === undefined || before === have;
    });
  if (!fits) throw invalid(`expected shape [${expected.join(", ")}], received [${actual.join(", ")}]`);
}

const RANGES: Partial<Record<DType, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-2147483648, 2147483647],
  uint32: [0, 4294967295],
};

function fromLists<D extends DType>(value: unknown, dtype: D): NDArray<D> {
  const shape: number[] = [];
  for (let level: unknown = value; Array.isArray(level); level = level[0]) shape.push(level.length);
  if (shape.length > MAX_DIMENSIONS) throw invalid(`lists are nested deeper than ${MAX_DIMENSIONS} dimensions`);
  if (!Array.isArray(value) && typeof value !== "number" && typeof value !== "boolean")
    throw invalid(`expected an ndarray of ${dtype}, or nested lists of numbers`);
  checkRagged(value, shape, 0);
  const data = new DTYPES[dtype](sizeOf(shape)) as DataOf<D>;
  const convert = elementReader(dtype);
  let next = 0;
  const walk = (level: unknown, axis: number): void => {
    if (axis === shape.length) {
      (data as { [i: number]: number | bigint })[next++] = convert(level);
      return;
    }
    for (const item of level as unknown[]) walk(item, axis + 1);
  };
  walk(value, 0);
  return new NDArray(dtype, shape, data);
}

/** Before anything is allocated: the first lists alone may claim any size. */
function checkRagged(level: unknown, shape: readonly number[], axis: number): void {
  if (axis === shape.length) return;
  if (!Array.isArray(level) || level.length !== shape[axis]) throw invalid("nested lists are not of one shape");
  if (axis + 1 < shape.length) for (const item of level) checkRagged(item, shape, axis + 1);
}

function elementReader(dtype: DType): (value: unknown) => number | bigint {
  if (dtype === "int64" || dtype === "uint64")
    return (value) => {
      if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "string")
        throw invalid(`expected whole numbers for ${dtype}`);
      if (!/^-?\d+$/.test(String(value))) throw invalid(`${String(value)} is no ${dtype}`);
      const whole = BigInt(value);
      const fits = dtype === "int64" ? BigInt.asIntN(64, whole) === whole : BigInt.asUintN(64, whole) === whole;
      if (!fits) throw invalid(`${value} is out of range for ${dtype}`);
      return whole;
    };
  if (dtype === "bool")
    return (value) => {
      if (value === true || value === 1) return 1;
      if (value === false || value === 0) return 0;
      throw invalid("expected true or false");
    };
  const range = RANGES[dtype];
  return (value) => {
    if (typeof value !== "number") throw invalid(`expected numbers for ${dtype}`);
    if (range && !(Number.isInteger(value) && value >= range[0] && value <= range[1]))
      throw invalid(`${value} is no ${dtype}`);
    return value;
  };
}
