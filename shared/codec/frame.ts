/**
 * The binary form in which values travel between services:
 *
 *     "TDM1" | u32 header length | header: JSON, padded with spaces to 8 | segments, each padded with zeros to 8
 *
 * The header holds `v`, the value with every binary replaced by a tagged object, and `s`, the segments' lengths in bytes.
 * Encoding copies no array (segments are views of the caller's memory); decoding makes views of the received buffer.
 */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { ServiceError } from "../errors/service-error.ts";
import { packBits, unpackBits } from "./bitmask.ts";
import { IMAGE_FORMATS, type ImageFormat, ImageValue } from "./image.ts";
import { type DataOf, DTYPES, type DType, NDArray, sizeOf } from "./ndarray.ts";

const MAGIC = 0x314d4454;
const ALIGN = 8;
const MAX_DEPTH = 64;
/** Most binaries of a frame: each costs its receiver more memory than the two bytes that announce an empty one. */
const MAX_SEGMENTS = 2 ** 20;
/** Longest text of a bigint: converting one takes time that grows faster than its length. */
const MAX_BIGINT_DIGITS = 400;
const BIGINT = new RegExp(`^-?\\d{1,${MAX_BIGINT_DIGITS}}$`);
/** Numbers that JSON cannot write. */
const NUMBERS = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
  "-0": -0,
};
const ZEROS = new Uint8Array(ALIGN);

export interface Frame {
  /** Chunks to be written one after the other. */
  readonly chunks: Uint8Array[];
  readonly byteLength: number;
}

export interface FrameLimits {
  /** Most bytes that packed arrays of one frame may unpack to. Default 1 GiB. */
  maxUnpackedBytes?: number;
}

type Tagged =
  | { $: "nd"; d: DType; h: number[]; i: number; t?: number[]; b?: true }
  | { $: "img"; i: number; f?: ImageFormat }
  | { $: "bytes"; i: number }
  | { $: "big" | "num" | "date"; v: string }
  | { $: "obj"; v: unknown };

/**
 * Encodes JSON values, bigints, dates, `NDArray`, `ImageValue` and `Uint8Array`, nested in any way.
 * @throws ServiceError INVALID_ARGUMENT for a function, a symbol, another class's instance, an invalid date, a bigint of
 * more than 400 digits, a member named "__proto__" or more than 64 levels.
 */
export function encodeFrame(value: unknown): Frame {
  const segments: Uint8Array[] = [];
  const tree = encodeValue(value, { segments, pack: true }, 0);
  const json = Buffer.from(JSON.stringify({ v: tree, s: segments.map((segment) => segment.byteLength) }));
  const headerLength = json.byteLength + padding(8 + json.byteLength);
  const head = Buffer.allocUnsafe(8 + headerLength);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(headerLength, 4);
  json.copy(head, 8);
  head.fill(0x20, 8 + json.byteLength);
  const chunks: Uint8Array[] = [head];
  let byteLength = head.byteLength;
  for (const segment of segments) {
    if (segment.byteLength === 0) continue;
    const pad = padding(segment.byteLength);
    chunks.push(segment);
    if (pad) chunks.push(ZEROS.subarray(0, pad));
    byteLength += segment.byteLength + pad;
  }
  return { chunks, byteLength };
}

/**
 * What the receiver of a frame would get, without the bytes in between: plain data are copied, arrays and bytes are
 * views of the sender's memory. For callers and callees in one process.
 */
export function passValue(value: unknown): unknown {
  const segments: Uint8Array[] = [];
  const tree = encodeValue(value, { segments, pack: false }, 0);
  return decodeValue(JSON.parse(JSON.stringify(tree)), segments, { left: Number.POSITIVE_INFINITY }, 0);
}

/** A frame as one buffer: copies; for carriers that take nothing else. */
export function joinFrame(frame: Frame): Buffer {
  return frame.chunks.length === 1 ? Buffer.from(frame.chunks[0]!) : Buffer.concat(frame.chunks, frame.byteLength);
}

/**
 * Decodes a frame. Arrays and bytes are views of `buffer`, copied only where it is not aligned to 8 bytes.
 * @throws ServiceError INVALID_ARGUMENT for anything that is not a whole, well-formed frame.
 */
export function decodeFrame(buffer: Uint8Array, limits: FrameLimits = {}): unknown {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  if (buffer.byteLength < 8 || view.getUint32(0, true) !== MAGIC) throw malformed("it does not start with TDM1");
  const headerLength = view.getUint32(4, true);
  if (8 + headerLength > buffer.byteLength) throw malformed("its header is cut off");
  const header = parseHeader(buffer.subarray(8, 8 + headerLength));
  if (header.s.length > MAX_SEGMENTS) throw malformed("it has too many segments");
  const segments: Uint8Array[] = [];
  let offset = 8 + headerLength;
  for (const length of header.s) {
    if (!Number.isSafeInteger(length) || length < 0 || offset + length > buffer.byteLength)
      throw malformed("a segment is cut off");
    // A Uint8Array whatever `buffer` is: a Buffer's slice() would share memory where a Uint8Array's copies.
    segments.push(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length));
    offset += length + padding(length);
  }
  const budget = { left: limits.maxUnpackedBytes ?? 2 ** 30 };
  return decodeValue(header.v, segments, budget, 0);
}

interface Output {
  readonly segments: Uint8Array[];
  /** Whether bilevel arrays are packed and deflated. */
  readonly pack: boolean;
}

function encodeValue(value: unknown, out: Output, depth: number): unknown {
  if (depth > MAX_DEPTH)
    throw new ServiceError("INVALID_ARGUMENT", `values are nested deeper than ${MAX_DEPTH} levels`);
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return { $: "num", v: Object.is(value, -0) ? "-0" : String(value) };
    case "bigint": {
      const digits = String(value);
      if (!BIGINT.test(digits)) throw unfit(`a bigint of more than ${MAX_BIGINT_DIGITS} digits`);
      return { $: "big", v: digits };
    }
    case "undefined":
      return null;
    case "object":
      break;
    default:
      throw unfit(`a ${typeof value}`);
  }
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((item) => encodeValue(item, out, depth + 1));
  if (NDArray.is(value)) return encodeArray(value, out);
  if (ImageValue.is(value))
    return { $: "img", i: out.segments.push(value.bytes) - 1, ...(value.format && { f: value.format }) };
  if (value instanceof Uint8Array) return { $: "bytes", i: out.segments.push(value) - 1 };
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw unfit("an invalid date");
    return { $: "date", v: value.toISOString() };
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw unfit(`an instance of ${value.constructor?.name ?? "a class"}`);
  const members: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    // Assigning it would change the object's prototype, here and where it is decoded.
    if (key === "__proto__") throw unfit('a member named "__proto__"');
    if (member !== undefined) members[key] = encodeValue(member, out, depth + 1);
  }
  return "$" in members ? { $: "obj", v: members } : members;
}

function unfit(what: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${what} cannot travel between services; pass plain data`);
}

function encodeArray(array: NDArray, { segments, pack }: Output): Tagged {
  const shape = [...array.shape];
  if (pack && array.wire === "bilevel") {
    const packed = packBilevel(array);
    if (packed) return { $: "nd", d: array.dtype, h: shape, i: segments.push(packed) - 1, b: true };
  }
  // A broadcast array travels as it is stored: its strides say how to repeat it.
  const compact = array.strides && array.data.length < array.size;
  const { data } = compact ? array : array.contiguous();
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    $: "nd",
    d: array.dtype,
    h: shape,
    i: segments.push(bytes) - 1,
    ...(compact && { t: [...array.strides!] }),
  };
}

/** One bit a pixel, deflated; undefined when the array is not 0/255, [h, w, c] and equal over c. */
function packBilevel(array: NDArray): Uint8Array | undefined {
  if (array.dtype !== "uint8" || array.shape.length !== 3 || array.size === 0) return undefined;
  const [height, width, channels] = array.shape as [number, number, number];
  const [rowStride, columnStride, channelStride] = array.strides ?? [width * channels, channels, 1];
  const data = array.data as Uint8Array;
  let plane: Uint8Array;
  if (columnStride === 1 && channelStride === 0 && rowStride === width) {
    plane = data.subarray(0, height * width);
  } else {
    const { data: full } = array.contiguous();
    plane = new Uint8Array(height * width);
    for (let pixel = 0, at = 0; pixel < plane.length; pixel++, at += channels) {
      const first = full[at] as number;
      for (let channel = 1; channel < channels; channel++) if (full[at + channel] !== first) return undefined;
      plane[pixel] = first;
    }
  }
  for (let pixel = 0; pixel < plane.length; pixel++) if (plane[pixel] !== 0 && plane[pixel] !== 255) return undefined;
  return deflateRawSync(packBits(plane, width, height), { level: constants.Z_BEST_SPEED });
}

function decodeValue(value: unknown, segments: Uint8Array[], budget: { left: number }, depth: number): unknown {
  if (depth > MAX_DEPTH * 2) throw malformed("it is nested too deeply");
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = decodeValue(value[i], segments, budget, depth + 1);
    return value;
  }
  if ("$" in value) return decodeTagged(value as Tagged, segments, budget, depth);
  return decodeMembers(value as Record<string, unknown>, segments, budget, depth);
}

function decodeMembers(
  members: Record<string, unknown>,
  segments: Uint8Array[],
  budget: { left: number },
  depth: number,
): unknown {
  for (const key of Object.keys(members)) {
    if (key === "__proto__") throw malformed('"__proto__" is no member');
    members[key] = decodeValue(members[key], segments, budget, depth + 1);
  }
  return members;
}

function decodeTagged(tag: Tagged, segments: Uint8Array[], budget: { left: number }, depth: number): unknown {
  switch (tag.$) {
    case "nd":
      return decodeArray(tag, segment(segments, tag.i), budget);
    case "img":
      return new ImageValue(segment(segments, tag.i), tag.f && IMAGE_FORMATS.includes(tag.f) ? tag.f : undefined);
    case "bytes":
      return segment(segments, tag.i);
    case "big":
      if (typeof tag.v !== "string" || !BIGINT.test(tag.v)) throw malformed("a bigint is none");
      return BigInt(tag.v);
    case "num":
      if (typeof tag.v !== "string" || !Object.hasOwn(NUMBERS, tag.v)) throw malformed("a number is none");
      return NUMBERS[tag.v as keyof typeof NUMBERS];
    case "date": {
      const date = typeof tag.v === "string" ? new Date(tag.v) : undefined;
      if (!date || Number.isNaN(date.getTime())) throw malformed("a date is none");
      return date;
    }
    case "obj":
      if (typeof tag.v !== "object" || tag.v === null || Array.isArray(tag.v)) throw malformed("an object is none");
      return decodeMembers(tag.v as Record<string, unknown>, segments, budget, depth);
    default:
      throw malformed("it has an unknown tag");
  }
}

function decodeArray(tag: Tagged & { $: "nd" }, bytes: Uint8Array, budget: { left: number }): NDArray {
  const type = Object.hasOwn(DTYPES, tag.d) ? DTYPES[tag.d] : undefined;
  if (!type || !Array.isArray(tag.h) || (tag.t !== undefined && !Array.isArray(tag.t)))
    throw malformed("an array has no dtype, shape or strides");
  if (tag.b) {
    const [height, width, channels] = tag.h;
    const size = sizeOf(tag.h);
    if (tag.d !== "uint8" || tag.h.length !== 3 || !height || !width || !channels || !(size <= budget.left))
      throw malformed("a packed array is too large or of no picture's shape");
    budget.left -= size;
    const packedLength = Math.ceil(width / 8) * height;
    const packed = inflate(bytes, packedLength);
    return new NDArray("uint8", tag.h, unpackBits(packed, width, height, channels), undefined, "bilevel");
  }
  const elements = bytes.byteLength / type.BYTES_PER_ELEMENT;
  if (!Number.isInteger(elements)) throw malformed("an array's bytes are no whole number of elements");
  if (tag.t) {
    const size = sizeOf(tag.h) * type.BYTES_PER_ELEMENT;
    if (!(size <= budget.left)) throw malformed("a broadcast array is too large");
    budget.left -= size;
  }
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : Uint8Array.from(bytes);
  const data = new type(aligned.buffer as ArrayBuffer, aligned.byteOffset, elements) as DataOf<DType>;
  return new NDArray(tag.d, tag.h, data, tag.t);
}

function inflate(bytes: Uint8Array, expected: number): Uint8Array {
  try {
    const out = inflateRawSync(bytes, { maxOutputLength: expected });
    if (out.byteLength === expected) return out;
  } catch {
    // Reported below, like a wrong length.
  }
  throw malformed("a packed array does not unpack to its shape");
}

function segment(segments: Uint8Array[], index: unknown): Uint8Array {
  const found = Number.isInteger(index) ? segments[index as number] : undefined;
  if (!found) throw malformed("a segment is missing");
  return found;
}

function parseHeader(bytes: Uint8Array): { v: unknown; s: number[] } {
  let header: unknown;
  try {
    header = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch (cause) {
    throw malformed("its header is no JSON", cause);
  }
  if (typeof header !== "object" || header === null || !("v" in header) || !("s" in header) || !Array.isArray(header.s))
    throw malformed("its header lacks v or s");
  return header as { v: unknown; s: number[] };
}

function padding(length: number): number {
  return (ALIGN - (length % ALIGN)) % ALIGN;
}

function malformed(why: string, cause?: unknown): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `the body is no Tandem frame: ${why}`, { cause });
}
