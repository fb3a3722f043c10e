import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeFrame, encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { ImageValue } from "#shared/codec/image.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { seeded } from "./random.ts";

const MAGIC = 0x314d4454;

/** A frame whose header says anything. */
function frameOf(header: string, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(json.byteLength, 4);
  return Buffer.concat([head, json, body]);
}

function tagged(v: unknown, segments: Uint8Array[] = []): Uint8Array {
  const body = segments.map((part) => Buffer.concat([part, Buffer.alloc((8 - (part.byteLength % 8)) % 8)]));
  return frameOf(JSON.stringify({ v, s: segments.map(({ byteLength }) => byteLength) }), Buffer.concat(body));
}

/** What a caller of `decodeFrame` may meet. */
function refusalOf(frame: Uint8Array): string | undefined {
  try {
    decodeFrame(frame);
    return undefined;
  } catch (error) {
    if (!ServiceError.is(error)) throw error;
    return error.code;
  }
}

const eight = new Uint8Array(8);
const nd = (members: object): unknown => ({ $: "nd", d: "uint8", h: [8], i: 0, ...members });
const deep = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;

describe("hostile frames are refused", () => {
  const sample = joinFrame(
    encodeFrame({
      text: "a",
      array: new NDArray("float32", [2, 2], Float32Array.of(1, 2, 3, 4)),
      mask: new NDArray("uint8", [2, 9, 1], new Uint8Array(18).fill(255)).broadcastTo([2, 9, 3]).withWire("bilevel"),
      list: [new Uint8Array([1, 2, 3]), new ImageValue(new Uint8Array([5]), "png"), 10n, Number.NaN, { $: 1 }],
    }),
  );

  test("cut off at any byte", () => {
    decodeFrame(sample);
    const end = sample.byteLength - (sample.byteLength % 8);
    for (let length = 0; length < end; length++) {
      const refusal = refusalOf(sample.subarray(0, length));
      // The zeros after the last segment are padding: nothing is lost without them.
      if (refusal === undefined) expect(sample.subarray(length).every((byte) => byte === 0)).toBe(true);
      else expect(refusal).toBe("INVALID_ARGUMENT");
    }
    expect(refusalOf(sample.subarray(0, end - 8))).toBe("INVALID_ARGUMENT");
  });

  test.each<[string, Uint8Array]>([
    ["another magic", Buffer.from("TDM2".padEnd(64))],
    ["a header of 4 GiB", Buffer.from([0x54, 0x44, 0x4d, 0x31, 255, 255, 255, 255, 0, 0, 0, 0])],
    ["no JSON", frameOf("{")],
    ["no object", frameOf("1")],
    ["no segments", frameOf('{"v": 1}')],
    ["no value", frameOf('{"s": []}')],
    ["segments that are no list", frameOf('{"v": 1, "s": {"length": 1}}')],
    ["a negative length", frameOf('{"v": 1, "s": [-8]}', eight)],
    ["a fractional length", frameOf('{"v": 1, "s": [0.5]}', eight)],
    ["a length past the end", frameOf('{"v": 1, "s": [16]}', eight)],
    ["an infinite length", frameOf('{"v": 1, "s": [1e999]}', eight)],
    ["a textual length", frameOf('{"v": 1, "s": ["8"]}', eight)],
    ["two million empty segments", frameOf(`{"v": 1, "s": [${"0,".repeat(2 ** 21)}0]}`)],
    ["an unknown tag", tagged({ $: "eval", v: "1" })],
    ["a tag of another type", frameOf(`{"v": {"$": ${deep(100_000)}}, "s": []}`)],
    ["lists 200 deep", frameOf(`{"v": ${deep(200)}, "s": []}`)],
    ["lists 1000000 deep", frameOf(`{"v": ${deep(1_000_000)}, "s": []}`)],
    ["tagged objects 200 deep", frameOf(`{"v": ${'{"$":"obj","v":{"a":'.repeat(200)}1${"}}".repeat(200)}, "s": []}`)],
    ["__proto__", frameOf('{"v": {"__proto__": {"polluted": 1}}, "s": []}')],
    ["__proto__ in a tagged object", frameOf('{"v": {"$": "obj", "v": {"__proto__": {}}}, "s": []}')],
    ["a tagged object that is a list", tagged({ $: "obj", v: [1] })],
    ["a tagged object that is null", tagged({ $: "obj", v: null })],
    ["a number that is none", tagged({ $: "num", v: "12" })],
    ["a number made by toString", tagged({ $: "num", v: { toString: 1, valueOf: 1 } })],
    ["a number from a prototype", tagged({ $: "num", v: "constructor" })],
    ["a bigint that is none", tagged({ $: "big", v: "0x10" })],
    ["a bigint of 100000 digits", tagged({ $: "big", v: "9".repeat(100_000) })],
    ["a bigint made by toString", tagged({ $: "big", v: { toString: 1, valueOf: 1 } })],
    ["a date that is none", tagged({ $: "date", v: "yesterday" })],
    ["a date made by toString", tagged({ $: "date", v: { toString: 1, valueOf: 1 } })],
    ...[-1, 1, 0.5, "0", "length", "__proto__", "at", null, [0], {}].map((i): [string, Uint8Array] => [
      `segment ${JSON.stringify(i)}`,
      tagged({ $: "bytes", i }, [eight]),
    ]),
    ["an array without a shape", tagged(nd({ h: null }), [eight])],
    ["an array whose shape is text", tagged(nd({ h: "8" }), [eight])],
    ["an array of no dtype", tagged(nd({ d: "float8" }), [eight])],
    ["a dtype from a prototype", tagged(nd({ d: "constructor" }), [eight])],
    ["a shape larger than the data", tagged(nd({ h: [9] }), [eight])],
    ["a shape smaller than the data", tagged(nd({ h: [7] }), [eight])],
    ["a negative shape", tagged(nd({ h: [-2, -4] }), [eight])],
    ["a fractional shape", tagged(nd({ h: [0.5, 16] }), [eight])],
    ["a textual dimension", tagged(nd({ h: ["8"] }), [eight])],
    ["a shape whose product overflows", tagged(nd({ h: Array(21).fill(2 ** 52) }), [eight])],
    ["a thousand dimensions", tagged(nd({ h: Array(1000).fill(1), t: Array(1000).fill(0) }), [eight])],
    ["bytes that are no whole elements", tagged(nd({ d: "float64", h: [1] }), [new Uint8Array(9)])],
    ["strides of another rank", tagged(nd({ t: [1, 1] }), [eight])],
    ["strides past the data", tagged(nd({ t: [2] }), [eight])],
    ["negative strides", tagged(nd({ t: [-1] }), [eight])],
    ["fractional strides", tagged(nd({ t: [0.5] }), [eight])],
    ["textual strides", tagged(nd({ t: "1" }), [eight])],
    ["strides that are an object", tagged(nd({ t: { length: 1, 0: 1 } }), [eight])],
    ["a broadcast of 8 EiB", tagged(nd({ h: [2 ** 30, 2 ** 33], t: [0, 0] }), [eight])],
    ["a mask of no picture's shape", tagged(nd({ b: true, h: [8] }), [eight])],
    ["a mask of five channels", tagged(nd({ b: true, h: [8, 8, 5] }), [deflateRawSync(eight)])],
    ["a mask of negative size", tagged(nd({ b: true, h: [-1, -8, 1] }), [deflateRawSync(new Uint8Array(1))])],
    ["a mask of fractional size", tagged(nd({ b: true, h: [0.5, 16, 1] }), [deflateRawSync(new Uint8Array(1))])],
    ["a mask of floats", tagged(nd({ b: true, d: "float32", h: [8, 8, 1] }), [deflateRawSync(eight)])],
    ["a mask that is not deflated", tagged(nd({ b: true, h: [8, 8, 1] }), [new Uint8Array(8).fill(7)])],
    ["a mask with too few rows", tagged(nd({ b: true, h: [9, 8, 1] }), [deflateRawSync(eight)])],
    ["a mask of 16 GiB", tagged(nd({ b: true, h: [2 ** 17, 2 ** 17, 1] }), [deflateRawSync(eight)])],
  ])("%s", (_what, frame) => {
    expect(refusalOf(frame)).toBe("INVALID_ARGUMENT");
    expect(Object.prototype).not.toHaveProperty("polluted");
  });

  test("a deflate bomb is stopped at the size of its shape", () => {
    const bomb = deflateRawSync(new Uint8Array(2 ** 26), { level: 9 });
    const before = process.memoryUsage().arrayBuffers;
    expect(refusalOf(tagged(nd({ b: true, h: [8, 8, 3] }), [bomb]))).toBe("INVALID_ARGUMENT");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
  });

  test("many masks share one budget", () => {
    const packed = deflateRawSync(new Uint8Array(32 * 256));
    const mask = nd({ b: true, h: [256, 256, 3] });
    const frame = tagged([mask, mask, mask], [packed]);
    expect(decodeFrame(frame, { maxUnpackedBytes: 3 * 256 * 256 * 3 })).toHaveLength(3);
    expect(() => decodeFrame(frame, { maxUnpackedBytes: 3 * 256 * 256 * 3 - 1 })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  test("a picture of an unknown format is one of no told format", () => {
    const { format, bytes } = decodeFrame(tagged({ $: "img", i: 0, f: "../etc" }, [eight])) as ImageValue;
    expect(format).toBeUndefined();
    expect(bytes).toHaveLength(8);
  });

  test("an empty array of huge dimensions is no work", () => {
    const empty = decodeFrame(tagged(nd({ h: [2 ** 52, 0], t: [0, 0] }), [new Uint8Array(0)])) as NDArray;
    expect(empty.contiguous().data).toHaveLength(0);
    expect((decodeFrame(joinFrame(encodeFrame(empty))) as NDArray).shape).toEqual([2 ** 52, 0]);
  });

  test("2000 random mutations: a value or a refusal, nothing else", () => {
    const random = seeded(20);
    let refused = 0;
    for (let round = 0; round < 2000; round++) {
      const mutant = Uint8Array.from(sample);
      for (let edits = 1 + Math.floor(random() * 4); edits > 0; edits--)
        mutant[Math.floor(random() * mutant.length)] = Math.floor(random() * 256);
      const code = refusalOf(mutant);
      if (code !== undefined) refused++;
      expect([undefined, "INVALID_ARGUMENT", "PAYLOAD_TOO_LARGE"]).toContain(code);
    }
    expect(refused).toBeGreaterThan(500);
  });

  test("2000 random edits of the header's text", () => {
    const random = seeded(21);
    const length = new DataView(sample.buffer, sample.byteOffset).getUint32(4, true);
    const header = Buffer.from(sample.subarray(8, 8 + length)).toString();
    const pieces = [
      '"$"',
      '"nd"',
      '"obj"',
      "[",
      "{}",
      "-1",
      "1e99",
      "null",
      '"__proto__":',
      '"t":[0],',
      '"b":true,',
      "0",
    ];
    let refused = 0;
    for (let round = 0; round < 2000; round++) {
      const at = Math.floor(random() * header.length);
      const end = at + Math.floor(random() * 8);
      const text = header.slice(0, at) + pieces[Math.floor(random() * pieces.length)] + header.slice(end);
      if (refusalOf(frameOf(text, sample.subarray(8 + length))) !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(500);
  });
});

test("a refusal does not repeat the frame's content", () => {
  expect(() => decodeFrame(tagged({ $: "x".repeat(1e6) }))).toThrow(/^the body is no Tandem frame: .{0,80}$/);
});
