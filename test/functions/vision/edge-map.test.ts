import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { encodeEdgePng } from "#functions/vision/edge-map.ts";
import { packBits, unpackBits } from "#shared/codec/bitmask.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { random } from "./canny-patterns.ts";

function edgeMap(width: number, height: number, seed: number): NDArray<"uint8"> {
  const next = random(seed);
  const data = Uint8Array.from({ length: width * height }, () => (next(3) === 0 ? 255 : 0));
  return new NDArray("uint8", [height, width], data);
}

const SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 24, 31, 33, 64, 65, 100, 199].map((width, n) => [
  width,
  1 + ((n * 7) % 13),
]) as [number, number][];

describe("packBits", () => {
  it("puts the first pixel in the highest bit and pads each row", () => {
    const pixels = Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 255, 0, 255, /* second row */ 0, 0, 0, 0, 0, 0, 0, 0, 255, 0);
    expect([...packBits(pixels, 10, 2)]).toEqual([0b10000001, 0b01000000, 0, 0b10000000]);
  });

  it("sets a bit for every value but 0", () => {
    for (let value = 0; value < 256; value++)
      for (const at of [0, 3, 4, 7, 8]) {
        const pixels = new Uint8Array(9);
        pixels[at] = value;
        const bits = packBits(pixels, 9, 1);
        expect((bits[0]! << 1) | (bits[1]! >> 7)).toBe(value === 0 ? 0 : 256 >> at);
      }
  });

  it("packs a view that starts at an odd byte", () => {
    const data = Uint8Array.of(9, 255, 0, 255, 255, 0, 0, 0, 255, 255).subarray(1);
    expect([...packBits(data, 9, 1)]).toEqual([0b10110001, 0b10000000]);
  });

  it.each(SIZES)("comes back from unpackBits at %i x %i, in one channel and in three", (width, height) => {
    const { data } = edgeMap(width, height, width);
    const packed = packBits(data, width, height);
    expect(packed.length).toBe(Math.ceil(width / 8) * height);
    expect(unpackBits(packed, width, height, 1)).toEqual(data);
    const repeated = Uint8Array.from({ length: data.length * 3 }, (_, i) => data[Math.floor(i / 3)]!);
    expect(unpackBits(packed, width, height, 3)).toEqual(repeated);
  });

  it("ignores padding bits when it unpacks", () => {
    expect([...unpackBits(Uint8Array.of(0xff, 0x3f), 3, 2, 1)]).toEqual([255, 255, 255, 0, 0, 255]);
  });

  it.each([
    ["pixels", () => packBits(new Uint8Array(5), 2, 3)],
    ["packed", () => unpackBits(new Uint8Array(5), 9, 3, 1)],
    ["whole numbers", () => unpackBits(new Uint8Array(5), 1.5, 3, 1)],
    ["whole numbers", () => packBits(new Uint8Array(5), Number.NaN, 3)],
    ["channels", () => unpackBits(new Uint8Array(3), 8, 3, 2)],
  ])("refuses lengths that do not fit: %s", (part, call) => {
    expect(call).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(part) }));
  });
});

describe("encodeEdgePng", () => {
  it.each([...SIZES, [1024, 1024] as [number, number]])("is read back by sharp at %i x %i", async (width, height) => {
    const edges = edgeMap(width, height, height);
    const png = await encodeEdgePng(edges);
    // Bit depth 1, colour type 0.
    expect([png[24], png[25]]).toEqual([1, 0]);
    const { data, info } = await sharp(png).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([width, height, 1]);
    expect(Buffer.compare(data, edges.data)).toBe(0);
  });

  it("is read back by sharp when it is packed in several slabs", async () => {
    const edges = edgeMap(1501, 1500, 9);
    const { data } = await sharp(await encodeEdgePng(edges))
      .extractChannel(0)
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(Buffer.compare(data, edges.data)).toBe(0);
  });

  it("refuses another dtype or rank", async () => {
    for (const wrong of [
      new NDArray("bool", [2, 2], new Uint8Array(4)),
      new NDArray("uint8", [2, 2, 1], new Uint8Array(4)),
    ])
      await expect(encodeEdgePng(wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("refuses a map without pixels", async () => {
    const error: unknown = await encodeEdgePng(new NDArray("uint8", [0, 4], new Uint8Array(0))).catch((e) => e);
    expect(ServiceError.is(error) && error.message).toContain("has no pixels");
  });

  it("stops when its signal fires", async () => {
    const reason = new ServiceError("CANCELED", "enough");
    await expect(encodeEdgePng(edgeMap(8, 8, 1), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
