import { describe, expect, test } from "vitest";
import { decodeFrame, encodeFrame, joinFrame, passValue } from "#shared/codec/frame.ts";
import { ImageValue } from "#shared/codec/image.ts";
import { DTYPES, type DType, NDArray, sizeOf } from "#shared/codec/ndarray.ts";
import { seeded } from "./random.ts";

const roundTrip = (value: unknown): unknown => decodeFrame(joinFrame(encodeFrame(value)));
const ways = { frame: roundTrip, "in process": passValue };

describe.each(Object.entries(ways))("%s", (_name, pass) => {
  test.each([
    ["null", null],
    ["a number", 1.5],
    ["not a number", Number.NaN],
    ["the infinities and the negative zero", [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0]],
    ["a big integer", 2n ** 64n + 1n],
    ["a negative big integer", -(2n ** 200n)],
    ["a date", new Date(86_400_000.5)],
    ["text beyond ASCII", "Zürich 日本 👩‍🚀 \u0000 \u2028"],
    ["half a surrogate pair", "\ud83d"],
    ["nested lists", [[], [[1], ["a", [null, true]]]]],
    ["an object with odd keys", { "": 1, "a b": 2, toString: 4, hasOwnProperty: 5 }],
    ["members named $", { $: "nd", d: "uint8", nested: { $: { $: 1 }, more: [{ $: null }] } }],
    ["bytes", new Uint8Array([1, 2, 3])],
    ["no bytes", new Uint8Array(0)],
    ["a picture", new ImageValue(new Uint8Array([137, 80]), "png")],
    ["a picture of no told format", new ImageValue(new Uint8Array([1]))],
  ])("%s comes back as it was", (_what, value) => {
    expect(pass({ value })).toStrictEqual({ value });
  });

  test("undefined is null in a list and absent in an object", () => {
    expect(pass([undefined, { a: undefined, b: 1 }])).toStrictEqual([null, { b: 1 }]);
  });

  test.each(Object.keys(DTYPES) as DType[])("an ndarray of %s keeps every bit", (dtype) => {
    const bytes = Uint8Array.from({ length: 48 }, (_, i) => (i * 37 + 11) & 255);
    const array = new NDArray(dtype, [48 / DTYPES[dtype].BYTES_PER_ELEMENT], new DTYPES[dtype](bytes.buffer) as never);
    const back = pass(array) as NDArray;
    expect(back.dtype).toBe(dtype);
    expect(back.shape).toEqual(array.shape);
    expect(new Uint8Array(back.data.buffer, back.data.byteOffset, back.data.byteLength)).toEqual(bytes);
  });

  test("shapes of no dimension, of no element and of a length that is no multiple of 8", () => {
    for (const array of [
      new NDArray("float32", [], Float32Array.of(7)),
      new NDArray("int64", [0, 3], new BigInt64Array(0)),
      new NDArray("uint8", [3], Uint8Array.of(1, 2, 3)),
    ])
      expect(plain(pass([array, array, "after"]))).toStrictEqual(plain([array, array, "after"]));
  });

  test("a strided array arrives with its values in order", () => {
    const transposed = new NDArray("int32", [3, 2], Int32Array.of(0, 1, 2, 3, 4, 5), [1, 3]);
    expect([...(pass(transposed) as NDArray).contiguous().data]).toEqual([0, 3, 1, 4, 2, 5]);
  });

  test("random nested values", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const value = randomValue(seeded(seed), 0);
      expect(plain(pass(value)), `seed ${seed}`).toEqual(plain(value));
    }
  });

  test.each([
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["another class's instance", new Map()],
    ["another typed array", new Float32Array(2)],
    ["an instance without a constructor", Object.create(Object.create(null))],
    ["an invalid date", new Date(Number.NaN)],
    ["a bigint beyond 400 digits", 10n ** 400n],
    ["a member named __proto__", JSON.parse('{"__proto__": {"polluted": true}}')],
  ])("%s is refused", (_what, value) => {
    expect(() => pass({ deep: [value] })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining("cannot travel") }),
    );
  });

  test("64 levels travel, more and a cycle are refused", () => {
    const nested = (levels: number): unknown => (levels === 0 ? 1 : { $: nested(levels - 1) });
    expect(pass(nested(64))).toStrictEqual(nested(64));
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [nested(65), cycle])
      expect(() => pass(value)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});

describe("no copies", () => {
  test("encoding an array, bytes and a picture gives their own memory", () => {
    const array = new NDArray("float32", [4], new Float32Array(new ArrayBuffer(32), 8, 4));
    const bytes = new Uint8Array(16).subarray(3, 11);
    const picture = new ImageValue(new Uint8Array(24));
    const { chunks } = encodeFrame({ array, list: [bytes, { picture }] });
    const shared = chunks.slice(1).map(({ buffer, byteOffset, byteLength }) => [buffer, byteOffset, byteLength]);
    expect(shared).toHaveLength(3);
    expect(shared[0]![0]).toBe(array.data.buffer);
    expect(shared[1]![0]).toBe(bytes.buffer);
    expect(shared[2]![0]).toBe(picture.bytes.buffer);
    expect(shared.map(([, ...where]) => where)).toEqual([
      [8, 16],
      [3, 8],
      [0, 24],
    ]);
  });

  test("decoding gives views of the one received buffer", () => {
    const sent = {
      odd: new Uint8Array(3),
      doubles: new NDArray("float64", [5], new Float64Array(5).fill(2)),
      picture: new ImageValue(new Uint8Array(5)),
      longs: new NDArray("int64", [1], BigInt64Array.of(9n)),
    };
    const received = new Uint8Array(joinFrame(encodeFrame(sent)));
    const back = decodeFrame(received) as typeof sent;
    for (const view of [back.odd, back.doubles.data, back.picture.bytes, back.longs.data])
      expect(view.buffer).toBe(received.buffer);
    received.fill(0xff, back.doubles.data.byteOffset, back.doubles.data.byteOffset + 8);
    expect(back.doubles.data[0]).toBeNaN();
  });

  test("a buffer that is not aligned is decoded too, by copying what must be", () => {
    const frame = joinFrame(encodeFrame(new NDArray("float64", [2], Float64Array.of(1, 2))));
    const shifted = new Uint8Array(frame.byteLength + 1);
    shifted.set(frame, 1);
    expect([...(decodeFrame(shifted.subarray(1)) as NDArray).data]).toEqual([1, 2]);
  });

  test("passing in process shares the sender's memory", () => {
    const array = new NDArray("uint8", [2], Uint8Array.of(1, 2));
    expect((passValue({ array }) as { array: NDArray }).array.data.buffer).toBe(array.data.buffer);
  });

  test("passing in process does not share plain data", () => {
    const sent = { list: [1] };
    const got = passValue(sent) as typeof sent;
    got.list.push(2);
    expect(sent.list).toEqual([1]);
  });

  test("a broadcast array travels unrepeated", () => {
    const row = new NDArray(
      "float32",
      [1, 64],
      new Float32Array(64).map((_, i) => i),
    );
    const frame = encodeFrame(row.broadcastTo([1000, 64]));
    expect(frame.byteLength).toBeLessThan(1000);
    const back = decodeFrame(joinFrame(frame)) as NDArray;
    expect(back.shape).toEqual([1000, 64]);
    expect(back.contiguous().data[63_999]).toBe(63);
  });
});

describe("bilevel arrays", () => {
  const mask = (height: number, width: number): NDArray<"uint8"> => {
    const random = seeded(height * 1000 + width);
    const plane = Uint8Array.from({ length: height * width }, () => (random() < 0.3 ? 255 : 0));
    return new NDArray("uint8", [height, width, 1], plane).broadcastTo([height, width, 3]).withWire("bilevel");
  };

  test.each([
    [1, 1],
    [3, 7],
    [8, 8],
    [5, 17],
    [64, 64],
  ])("%d x %d: the same pixels, whichever way they are stored", (height, width) => {
    const repeated = mask(height, width);
    const stored = repeated.contiguous().withWire("bilevel");
    for (const array of [repeated, stored]) {
      const back = roundTrip(array) as NDArray;
      expect(back.shape).toEqual([height, width, 3]);
      expect(back.contiguous().data).toEqual(stored.data);
    }
  });

  test("one bit a pixel", () => {
    expect(encodeFrame(mask(256, 256)).byteLength).toBeLessThan((256 * 256) / 8 + 200);
  });

  test.each([
    ["another value than 0 and 255", [2, 2, 1], [0, 255, 1, 0]],
    ["channels that differ", [1, 1, 3], [0, 255, 255]],
    ["no channels' dimension", [2, 2], [0, 255, 255, 0]],
    ["no pixel", [0, 4, 3], []],
  ])("%s: travels raw, losing nothing", (_what, shape, data) => {
    const array = new NDArray("uint8", shape, Uint8Array.from(data), undefined, "bilevel");
    const back = roundTrip(array) as NDArray;
    expect(back.shape).toEqual(shape);
    expect([...back.data]).toEqual(data);
  });
});

/** Arrays as nested plain data, so that two of them compare by value. */
function plain(value: unknown): unknown {
  if (NDArray.is(value)) {
    const { dtype, shape, data } = value.contiguous();
    return { dtype, shape, data: Array.from(data as ArrayLike<unknown>) };
  }
  if (ImageValue.is(value)) return { format: value.format, bytes: [...value.bytes] };
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null && !(value instanceof Date))
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
  return value;
}

function randomValue(random: () => number, depth: number): unknown {
  const whole = (n: number): number => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[whole(items.length)]!;
  switch (whole(depth > 4 ? 9 : 12)) {
    case 0:
      return pick([null, true, false]);
    case 1:
      return pick([0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-300, -17, random() * 1e9]);
    case 2:
      return String.fromCharCode(...Array.from({ length: whole(6) }, () => whole(65536)));
    case 3:
      return BigInt(whole(2 ** 30)) ** BigInt(1 + whole(10)) * pick([1n, -1n]);
    case 4:
      return new Date(whole(2 ** 40));
    case 5:
      return Uint8Array.from({ length: whole(20) }, () => whole(256));
    case 6:
      return new ImageValue(
        Uint8Array.from({ length: whole(20) }, () => whole(256)),
        pick(["png", "gif", undefined]),
      );
    case 7:
    case 8: {
      const dtype = pick(Object.keys(DTYPES) as DType[]);
      const shape = Array.from({ length: whole(4) }, () => whole(4));
      const data = new DTYPES[dtype](sizeOf(shape));
      for (let i = 0; i < data.length; i++) data[i] = typeof data[i] === "bigint" ? BigInt(whole(99)) : whole(99);
      const array = new NDArray(dtype, shape, data as never);
      return random() < 0.3 ? array.broadcastTo([1 + whole(3), ...shape]) : array;
    }
    case 9:
      return Array.from({ length: whole(5) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: whole(5) }, () => [
          pick(["$", "a", "ключ", "constructor", "", "i", "v"]),
          randomValue(random, depth + 1),
        ]),
      );
  }
}
