import { describe, expect, test } from "vitest";
import { z } from "zod";
import { binaryOf } from "#shared/codec/binary-field.ts";
import { ImageValue } from "#shared/codec/image.ts";
import { DTYPES, type DType, NDArray } from "#shared/codec/ndarray.ts";
import { bytes, image, ndarray } from "#shared/codec/schemas.ts";

/** The first complaint about a value, or undefined when the schema takes it. */
function complaint(schema: z.ZodType, value: unknown): string | undefined {
  return schema.safeParse(value).error?.issues[0]?.message;
}

describe("ndarray", () => {
  test.each<[string, DType, unknown, readonly number[], unknown[]]>([
    ["a number is an array of no dimension", "float32", 1.5, [], [1.5]],
    ["an empty list", "float64", [], [0], []],
    ["empty rows", "int8", [[], []], [2, 0], []],
    ["three dimensions in C order", "uint8", [[[1, 2]], [[3, 4]], [[5, 6]]], [3, 1, 2], [1, 2, 3, 4, 5, 6]],
    ["booleans", "bool", [true, false, 1, 0], [4], [1, 0, 1, 0]],
    [
      "long integers as numbers, bigints and text",
      "int64",
      [1, -2n, "9007199254740993"],
      [3],
      [1n, -2n, 9007199254740993n],
    ],
  ])("from lists: %s", (_what, dtype, lists, shape, data) => {
    const array = ndarray(dtype).parse(lists);
    expect(array.shape).toEqual(shape);
    expect(array.data).toBeInstanceOf(DTYPES[dtype]);
    expect(Array.from(array.data as ArrayLike<unknown>)).toEqual(data);
  });

  test.each<[DType, unknown, unknown]>([
    ["int8", -128, -129],
    ["int8", 127, 128],
    ["uint8", 255, 256],
    ["uint8", 0, -1],
    ["uint8", 1, 1.5],
    ["int16", -32768, 32768],
    ["uint16", 65535, 65536],
    ["int32", -2147483648, 2147483648],
    ["uint32", 4294967295, 4294967296],
    ["int64", "9223372036854775807", "9223372036854775808"],
    ["uint64", "18446744073709551615", "-1"],
    ["int64", 5, 5.5],
    ["bool", 1, 2],
    ["float32", 1e30, "1"],
    ["float64", 0.1, null],
  ])("%s takes %s and refuses %s", (dtype, good, bad) => {
    expect(complaint(ndarray(dtype), [good])).toBeUndefined();
    expect(complaint(ndarray(dtype), [bad])).toEqual(
      expect.stringContaining(dtype === "bool" ? "true or false" : dtype),
    );
  });

  test.each([
    ["ragged rows", [[1, 2], [3]]],
    ["a row that is a number", [[1, 2], 3]],
    ["a number that is a row", [1, [2]]],
    ["a row where the first is empty", [[], [1]]],
  ])("%s are refused", (_what, lists) => {
    expect(complaint(ndarray("uint8"), lists)).toMatch(/one shape|numbers/);
  });

  test("rows that claim more elements than there are allocate nothing", () => {
    const row = Array.from({ length: 60_000 }, () => 0);
    const lists = [row, ...Array.from({ length: 60_000 }, () => [])];
    const before = process.memoryUsage().arrayBuffers;
    expect(complaint(ndarray("float64"), lists)).toMatch("one shape");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  test("33 dimensions are refused", () => {
    let lists: unknown = 1;
    for (let depth = 0; depth < 33; depth++) lists = [lists];
    expect(complaint(ndarray("uint8"), lists)).toMatch("32 dimensions");
  });

  test.each<[string, unknown]>([
    ["an object", {}],
    ["text", "abc"],
    ["nothing", undefined],
    ["an array of another dtype", new NDArray("int8", [1], Int8Array.of(1))],
  ])("%s is refused", (_what, value) => {
    expect(complaint(ndarray("uint8"), value)).toMatch("expected an ndarray of uint8");
  });

  test("a shape: lengths are exact, a repeated name stands for one length, another name for its own", () => {
    const square = ndarray("uint8", ["n", "n", 3]);
    const of = (...shape: number[]) => new NDArray("uint8", shape, new Uint8Array(shape.reduce((a, b) => a * b, 1)));
    expect(complaint(square, of(2, 2, 3))).toBeUndefined();
    expect(complaint(square, of(0, 0, 3))).toBeUndefined();
    expect(complaint(square, of(2, 3, 3))).toBe("expected shape [n, n, 3], received [2, 3, 3]");
    expect(complaint(square, of(2, 2, 4))).toMatch("expected shape");
    expect(complaint(square, of(2, 2))).toMatch("expected shape");
    expect(complaint(ndarray("uint8", ["h", "w"]), of(2, 3))).toBeUndefined();
  });

  test("an unknown dtype is a mistake in the contract", () => {
    expect(() => ndarray("float8" as never)).toThrow(TypeError);
    expect(() => ndarray("toString" as never)).toThrow(TypeError);
  });
});

describe("NDArray", () => {
  test.each<[string, () => unknown]>([
    ["data of another type", () => new NDArray("uint8", [1], Int8Array.of(1) as never)],
    ["too few data", () => new NDArray("uint8", [2], Uint8Array.of(1))],
    ["a negative length", () => new NDArray("uint8", [-1], new Uint8Array(1))],
    ["strides that leave the data", () => new NDArray("uint8", [2, 2], new Uint8Array(3), [2, 1])],
    ["a fractional stride", () => new NDArray("uint8", [2], new Uint8Array(3), [0.5])],
    ["33 dimensions", () => new NDArray("uint8", Array(33).fill(1), new Uint8Array(1))],
    ["a shape that does not broadcast", () => new NDArray("uint8", [2], new Uint8Array(2)).broadcastTo([3])],
    ["a broadcast to fewer dimensions", () => new NDArray("uint8", [1, 2], new Uint8Array(2)).broadcastTo([2])],
    ["a reshape to another size", () => new NDArray("uint8", [4], new Uint8Array(4)).reshape([3])],
  ])("%s is refused", (_what, make) => {
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  test("broadcasting repeats by numpy's rules without copying", () => {
    const row = new NDArray("int32", [2, 1], Int32Array.of(1, 2));
    const wide = row.broadcastTo([2, 2, 3]);
    expect(wide.data).toBe(row.data);
    expect([...wide.contiguous().data]).toEqual([1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
  });
});

describe("image and bytes", () => {
  test("bytes, base64 and data URLs are taken", () => {
    const raw = Uint8Array.of(255, 216, 255);
    const text = Buffer.from(raw).toString("base64");
    expect([...image().parse(raw).bytes]).toEqual([...raw]);
    expect([...image().parse(text).bytes]).toEqual([...raw]);
    expect([...bytes().parse(`${text.slice(0, 2)}\n ${text.slice(2)}\n`)]).toEqual([...raw]);
    expect(image().parse(`data:image/png;base64,${text}`)).toMatchObject({ format: "png" });
    expect([...image().parse(`data:image/png;base64,${text}`).bytes]).toEqual([...raw]);
    expect(image().parse(`data:image/x-unknown;base64,${text}`).format).toBeUndefined();
    const value = new ImageValue(raw, "gif");
    expect(image().parse(value)).toBe(value);
  });

  test("base64 with and without padding", () => {
    for (const text of ["", "AA==", "AA", "AAA=", "AAA", "AAAA", "+/+/"])
      expect(Buffer.from(bytes().parse(text)).toString("base64")).toBe(Buffer.from(text, "base64").toString("base64"));
  });

  test.each(["A", "AAAAA", "AA=A", "=", "AA===", "A=A=", "AA-_", "nö", "{}", "[1]"])("%j is no base64", (text) => {
    expect(complaint(bytes(), text)).toBe("expected base64");
  });

  test("hostile blanks take no more than linear time", () => {
    expect(complaint(bytes(), `${" ".repeat(4e6)}!`)).toBe("expected base64");
    expect(complaint(bytes(), `${"=".repeat(4e6)}!`)).toBe("expected base64");
  });

  test("a URL is refused with a hint", () => {
    expect(complaint(image(), "https://example.com/a.png")).toBe("send the picture itself, not its URL");
  });

  test.each([undefined, null, 1, {}, [1]])("%j is neither picture nor bytes", (value) => {
    expect(complaint(image(), value)).toMatch("expected a picture");
    expect(complaint(bytes(), value)).toMatch("expected bytes");
  });
});

describe("binaryOf", () => {
  test("knows a field through every copy that zod makes of its schema", () => {
    const picture = image();
    for (const schema of [
      picture,
      picture.describe("a picture"),
      picture.meta({ id: "p" }),
      picture.refine(() => true),
    ])
      expect(binaryOf(schema)).toEqual({ kind: "image" });
    expect(binaryOf(ndarray("uint8", ["h", 3], { wire: "bilevel" }))).toEqual({
      kind: "ndarray",
      dtype: "uint8",
      shape: ["h", 3],
      wire: "bilevel",
    });
    expect(binaryOf(z.string())).toBeUndefined();
    expect(binaryOf(z.string().transform((text) => text.length))).toBeUndefined();
  });
});
