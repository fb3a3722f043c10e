import * as z from "zod";
import { type DataOf, DTYPES, type DType, NDArray, sizeOf } from "../codec/ndarray.ts";
import { binaryOf } from "../codec/schemas.ts";
import { ServiceError } from "../errors/service-error.ts";

/** Keeps what the schema wraps. */
type Wrapper = z.ZodOptional | z.ZodNullable | z.ZodDefault | z.ZodPrefault;

/**
 * An input from JSON, with the arrays in it that are written as `{dtype, shape, data}` (C order, little endian, `data`
 * base64) in place of nested lists, which the schema takes itself. Arrays are looked for where the schema has them: in
 * objects and lists, not in unions.
 * @throws ServiceError INVALID_ARGUMENT for an array whose bytes do not fill its shape.
 */
export function withArrays(schema: z.ZodType, value: unknown, path: (string | number)[] = []): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isWrapper(schema)) return withArrays(schema.unwrap() as z.ZodType, value, path);
  if (binaryOf(schema)?.kind === "ndarray") return "dtype" in value ? arrayOf(value, path) : value;
  if (schema instanceof z.ZodArray && Array.isArray(value))
    return value.map((item, i) => withArrays(schema.element as z.ZodType, item, [...path, i]));
  if (!(schema instanceof z.ZodObject) || Array.isArray(value)) return value;
  const members: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const field = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
    members[name] = field ? withArrays(field, member, [...path, name]) : member;
  }
  return { ...members };
}

function isWrapper(schema: z.ZodType): schema is Wrapper {
  return (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  );
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
