import { $ZodObject, type $ZodType } from "zod/v4/core";
import { binaryOf } from "../codec/binary-field.ts";
import { type DataOf, DTYPES, type DType, NDArray, sizeOf } from "../codec/ndarray.ts";
import { elementOf, memberOf, unwrapped } from "../codec/schema-parts.ts";
import { ServiceError } from "../errors/service-error.ts";

/**
 * An input from JSON, with the arrays in it that are written as `{dtype, shape, data}` (C order, little endian, `data`
 * base64) in place of nested lists, which the schema takes itself. Arrays are looked for where the schema has them: in
 * objects and lists, not in unions.
 * @throws ServiceError INVALID_ARGUMENT for an array whose bytes do not fill its shape.
 */
export function withArrays(wrapped: $ZodType, value: unknown, path: (string | number)[] = []): unknown {
  if (typeof value !== "object" || value === null) return value;
  const schema = unwrapped(wrapped);
  if (binaryOf(schema)?.kind === "ndarray") return "dtype" in value ? arrayOf(value, path) : value;
  const element = elementOf(schema);
  if (element && Array.isArray(value)) return value.map((item, i) => withArrays(element, item, [...path, i]));
  if (!(schema instanceof $ZodObject) || Array.isArray(value)) return value;
  const members: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const field = memberOf(schema, name);
    members[name] = field ? withArrays(field, member, [...path, name]) : member;
  }
  return { ...members };
}

function arrayOf(value: object, path: (string | number)[]): NDArray {
  const { dtype, shape, data } = value as { dtype: unknown; shape?: unknown; data?: unknown };
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) throw wrong(path, `${String(dtype)} is no dtype`);
  const lengths = (list: unknown[]): boolean => list.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
  if (!Array.isArray(shape) || !lengths(shape) || typeof data !== "string")
    throw wrong(path, "an array is {dtype, shape, data: base64}");
  const type = DTYPES[dtype as DType];
  const size = sizeOf(shape as number[]) * type.BYTES_PER_ELEMENT;
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(data, "base64"));
  if (bytes.write(data, "base64") !== size || bytes.byteLength !== size)
    throw wrong(path, `${dtype} of shape [${shape.join(", ")}] takes ${size} bytes, its data has ${bytes.byteLength}`);
  return new NDArray(dtype as DType, shape as number[], new type(bytes.buffer as ArrayBuffer) as DataOf<DType>);
}

function wrong(path: (string | number)[], message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${path.join(".")}: ${message}`, { detail: [{ path, message }] });
}
