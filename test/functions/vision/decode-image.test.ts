import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { expect, test } from "vitest";
import { decodeImage } from "#functions/vision/decode-image.ts";
import { ImageValue } from "#shared/codec/image.ts";
import { handmadePng, pngChunk } from "./handmade-png.ts";

const W = 6;
const H = 4;

/** RGB pixels that differ everywhere, so that a swap, a turn or a shift shows. */
function pattern(width = W, height = H): Uint8Array {
  return Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37 + 11) % 256);
}

function rgb(width = W, height = H) {
  return sharp(pattern(width, height), { raw: { width, height, channels: 3 } });
}

const decode = async (bytes: Uint8Array, size?: { width: number; height: number }) =>
  await decodeImage(new ImageValue(bytes), { size });

/** A PNG of uncompressed rows, each an array of bytes. */
function png(depth: number, color: number, rows: number[][], width = W, extra: Buffer[] = []): Buffer {
  const data = deflateSync(Buffer.from(rows.flatMap((row) => [0, ...row])));
  return handmadePng(width, rows.length, data, { depth, color, extra });
}

const lossless: [string, () => Promise<Buffer>][] = [
  ["png", () => rgb().png().toBuffer()],
  ["interlaced png", () => rgb().png({ progressive: true }).toBuffer()],
  ["webp", () => rgb().webp({ lossless: true }).toBuffer()],
  ["png with trailing bytes", async () => Buffer.concat([await rgb().png().toBuffer(), Buffer.from("trailing")])],
  ["16-bit rgb png", async () => png(16, 2, sixteenBit())],
];

function sixteenBit(): number[][] {
  const pixels = pattern();
  // value * 257: both bytes alike, so that the 8-bit value is exact whichever way it is rounded.
  return Array.from({ length: H }, (_, y) => [...pixels.subarray(y * W * 3, (y + 1) * W * 3)].flatMap((v) => [v, v]));
}

test.each(lossless)("%s: the very pixels, uint8 [h, w, 3]", async (_, make) => {
  const array = await decode(await make());
  expect(array.shape).toEqual([H, W, 3]);
  expect(array.dtype).toBe("uint8");
  expect([...array.data]).toEqual([...pattern()]);
});

test.each(["jpeg", "webp", "avif"] as const)("%s, lossy: near the pixels", async (format) => {
  const flat = sharp({ create: { width: 32, height: 16, channels: 3, background: { r: 200, g: 100, b: 50 } } });
  const bytes = await flat[format]({ quality: 90 }).toBuffer();
  const { data, shape } = await decode(bytes);
  expect(shape).toEqual([16, 32, 3]);
  for (const [i, value] of [200, 100, 50].entries()) expect(Math.abs(data[i]! - value)).toBeLessThan(6);
});

test("bytes after the end of a JPEG are no fault", async () => {
  const bytes = Buffer.concat([await rgb().jpeg().toBuffer(), Buffer.from("trailing")]);
  expect((await decode(bytes)).shape).toEqual([H, W, 3]);
});

test("the bytes decide, not the label", async () => {
  const array = await decodeImage(new ImageValue(await rgb().png().toBuffer(), "jpeg"));
  expect([...array.data]).toEqual([...pattern()]);
});

test("bytes that are a view into a larger buffer", async () => {
  const bytes = await rgb().png().toBuffer();
  const padded = new Uint8Array(bytes.length + 20).fill(7);
  padded.set(bytes, 9);
  expect([...(await decode(padded.subarray(9, 9 + bytes.length))).data]).toEqual([...pattern()]);
});

test("alpha is dropped, not blended: the colours under it come out as PIL's convert('RGB') gives them", async () => {
  const rgba = Uint8Array.from({ length: W * H * 4 }, (_, i) => (i % 4 === 3 ? (i * 13) % 256 : (i * 37) % 256));
  rgba[3] = 0;
  const bytes = await sharp(rgba, { raw: { width: W, height: H, channels: 4 } })
    .png()
    .toBuffer();
  expect([...(await decode(bytes)).data]).toEqual([...rgba.filter((_, i) => i % 4 !== 3)]);
});

test("alpha is dropped before resizing: transparent regions keep their colour", async () => {
  const background = { r: 10, g: 200, b: 60, alpha: 0 };
  const bytes = await sharp({ create: { width: 40, height: 30, channels: 4, background } })
    .png()
    .toBuffer();
  const { data, shape } = await decode(bytes, { width: 8, height: 5 });
  expect(shape).toEqual([5, 8, 3]);
  expect([...data.subarray(0, 3)]).toEqual([10, 200, 60]);
});

test("gray becomes three equal channels; gray with alpha too", async () => {
  const gray = Array.from({ length: W * H }, (_, i) => (i * 9) % 256);
  const rows = (extra: (v: number) => number[]) =>
    Array.from({ length: H }, (_, y) => gray.slice(y * W, (y + 1) * W).flatMap(extra));
  const expected = gray.flatMap((v) => [v, v, v]);
  expect([
    ...(
      await decode(
        png(
          8,
          0,
          rows((v) => [v]),
        ),
      )
    ).data,
  ]).toEqual(expected);
  expect([
    ...(
      await decode(
        png(
          8,
          4,
          rows((v) => [v, 255 - v]),
        ),
      )
    ).data,
  ]).toEqual(expected);
  expect([
    ...(
      await decode(
        png(
          16,
          0,
          rows((v) => [v, v]),
        ),
      )
    ).data,
  ]).toEqual(expected);
  const jpeg = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#808080" } })
    .toColourspace("b-w")
    .jpeg()
    .toBuffer();
  expect((await sharp(jpeg).metadata()).channels).toBe(1);
  expect([...new Set((await decode(jpeg)).data)]).toEqual([128]);
});

test("a palette gives its colours, also where one of them is transparent", async () => {
  const palette = Buffer.from([255, 0, 0, 0, 255, 0, 9, 8, 7]);
  const rows = [
    [0, 1, 2],
    [2, 1, 0],
  ];
  const expected = [...palette, 9, 8, 7, 0, 255, 0, 255, 0, 0];
  const colours = pngChunk("PLTE", palette);
  const transparent = pngChunk("tRNS", Buffer.from([255, 255, 0]));
  expect([...(await decode(png(8, 3, rows, 3, [colours]))).data]).toEqual(expected);
  expect([...(await decode(png(8, 3, rows, 3, [colours, transparent]))).data]).toEqual(expected);
});

test("1-bit pixels become 0 and 255", async () => {
  const { data, shape } = await decode(
    png(
      1,
      0,
      [
        [0b10101010, 0b10000000],
        [0b01010101, 0b01000000],
      ],
      10,
    ),
  );
  expect(shape).toEqual([2, 10, 3]);
  const row = [255, 0, 255, 0, 255, 0, 255, 0, 255, 0];
  expect([...data]).toEqual([...row, ...row.map((v) => 255 - v)].flatMap((v) => [v, v, v]));
});

test("CMYK JPEG becomes sRGB", async () => {
  const red = sharp({ create: { width: 16, height: 16, channels: 3, background: "#ff0000" } });
  const bytes = await red.toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer();
  expect((await sharp(bytes).metadata()).space).toBe("cmyk");
  const { data, shape } = await decode(bytes);
  expect(shape).toEqual([16, 16, 3]);
  expect(data[0]! > 180 && data[1]! < 80 && data[2]! < 80, `${data.subarray(0, 3)}`).toBe(true);
});

/** Where EXIF orientation n puts the source pixel (x, y) of a w x h picture. */
const oriented: ((x: number, y: number, w: number, h: number) => [number, number])[] = [
  (x, y) => [x, y],
  (x, y, w) => [w - 1 - x, y],
  (x, y, w, h) => [w - 1 - x, h - 1 - y],
  (x, y, _, h) => [x, h - 1 - y],
  (x, y) => [y, x],
  (x, y, _, h) => [h - 1 - y, x],
  (x, y, w, h) => [h - 1 - y, w - 1 - x],
  (x, y, w) => [y, w - 1 - x],
];

test.each([1, 2, 3, 4, 5, 6, 7, 8])("EXIF orientation %i is applied, with and without a size", async (orientation) => {
  const bytes = await rgb().withMetadata({ orientation }).png().toBuffer();
  expect((await sharp(bytes).metadata()).orientation).toBe(orientation);
  const [width, height] = orientation > 4 ? [H, W] : [W, H];
  const source = pattern();
  const expected = new Uint8Array(source.length);
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      const [toX, toY] = oriented[orientation - 1]!(x, y, W, H);
      expected.set(source.subarray((y * W + x) * 3, (y * W + x) * 3 + 3), (toY * width + toX) * 3);
    }
  const plain = await decode(bytes);
  expect(plain.shape).toEqual([height, width, 3]);
  expect([...plain.data]).toEqual([...expected]);
  const sized = await decode(bytes, { width, height });
  expect([...sized.data]).toEqual([...expected]);
  expect((await decode(bytes, { width: 9, height: 5 })).shape).toEqual([5, 9, 3]);
});

test.each(["gif", "webp"] as const)("of an animated %s the first frame counts", async (format) => {
  const frames = Buffer.alloc(8 * 16 * 3);
  for (let i = 0; i < frames.length; i += 3) frames.set(i < frames.length / 2 ? [255, 0, 0] : [0, 0, 255], i);
  const animation = sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } });
  const bytes = await (format === "gif" ? animation.gif() : animation.webp({ lossless: true })).toBuffer();
  expect((await sharp(bytes).metadata()).pages).toBe(2);
  const { data, shape } = await decode(bytes);
  expect(shape).toEqual([8, 8, 3]);
  expect([...data]).toEqual(Array.from({ length: 64 }, () => [255, 0, 0]).flat());
});

test("a size is exact, averages what it shrinks and keeps means", async () => {
  const bytes = await rgb(300, 200).png().toBuffer();
  const { data, shape } = await decode(bytes, { width: 31, height: 17 });
  expect(shape).toEqual([17, 31, 3]);
  const mean = (values: Uint8Array) => values.reduce((sum, v) => sum + v, 0) / values.length;
  expect(Math.abs(mean(data) - mean(pattern(300, 200)))).toBeLessThan(2);
  expect((await decode(bytes, { width: 601, height: 399 })).shape).toEqual([399, 601, 3]);
  const checker = Uint8Array.from({ length: 90 * 90 }, (_, i) => ((i % 90) + Math.floor(i / 90)) % 2 && 255);
  const board = await sharp(checker, { raw: { width: 90, height: 90, channels: 1 } })
    .png()
    .toBuffer();
  for (const value of (await decode(board, { width: 30, height: 30 })).data)
    expect(Math.abs(value - 127.5)).toBeLessThan(60);
});

test("a picture in Display P3 is brought to sRGB", async () => {
  const source = sharp({ create: { width: 8, height: 8, channels: 3, background: "#00c800" } });
  const bytes = await source.withIccProfile("p3").png().toBuffer();
  const { data } = await decode(bytes);
  for (const [i, value] of [0, 200, 0].entries()) expect(Math.abs(data[i]! - value)).toBeLessThan(4);
});

test("an aborted signal stops the wait with its reason", async () => {
  const bytes = await rgb().png().toBuffer();
  const reason = new Error("gone");
  await expect(decodeImage(new ImageValue(bytes), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const work = decodeImage(new ImageValue(await rgb(3000, 3000).png().toBuffer()), { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 5);
  await expect(work).rejects.toBe(reason);
});
