import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it, test } from "vitest";
import { decodeImage } from "#functions/vision/decode-image.ts";
import { plainPng, plainPngPixels } from "#functions/vision/plain-png.ts";
import { encodeImage } from "#shared/image/encode-image.ts";
import { ImageValue, NDArray } from "#shared/index.ts";
import { handmadePng, pngChunk } from "./handmade-png.ts";

const [W, H] = [37, 29];
/** Shades with grain: an encoder that chooses filters row by row uses all of them. */
const samples = (channels: number): Uint8Array =>
  Uint8Array.from({ length: W * H * channels }, (_, i) => ((i * 13) >> 5) + ((i * 7919) % 11) * ((i >> 8) % 5));
const file = (channels: 1 | 3 | 4): Promise<Buffer> => {
  const picture = sharp(samples(channels), { raw: { width: W, height: H, channels } });
  return (channels === 1 ? picture.toColourspace("b-w") : picture).png({ adaptiveFiltering: true }).toBuffer();
};
const libvips = async (bytes: Uint8Array): Promise<Buffer> =>
  sharp(bytes).removeAlpha().toColourspace("srgb").raw().toBuffer();
/** Scanlines of RGB pixels, each with the filter of that number. */
const lines = (filter: number): Buffer =>
  Buffer.concat(
    Array.from({ length: H }, (_, y) => {
      const row = samples(3).subarray(y * W * 3, (y + 1) * W * 3);
      return Buffer.concat([Buffer.of(filter), row]);
    }),
  );
const rgb = { depth: 8, color: 2 };

describe("plainPng", () => {
  it.each([1, 3, 4] as const)("reads %s channels as libvips does", async (channels) => {
    const bytes = await file(channels);
    const plain = plainPng(bytes)!;
    expect([plain.width, plain.height, plain.channels]).toEqual([W, H, channels]);
    expect(Buffer.from(plainPngPixels(plain)!)).toEqual(await libvips(bytes));
  });

  it.each([0, 1, 2, 3, 4])("undoes filter %s as libvips does", async (filter) => {
    const bytes = handmadePng(W, H, deflateSync(lines(filter)), rgb);
    expect(Buffer.from(plainPngPixels(plainPng(bytes)!)!)).toEqual(await libvips(bytes));
  });

  it("reads pictures of one pixel, with harmless chunks, and views into larger buffers", async () => {
    const extra = [pngChunk("tEXt", Buffer.from("a\0b"))];
    const bytes = handmadePng(1, 1, deflateSync(Buffer.of(4, 1, 2, 3)), { ...rgb, extra });
    const within = new Uint8Array(Buffer.concat([Buffer.alloc(5), bytes, Buffer.alloc(5)])).subarray(5, -5);
    expect([...plainPngPixels(plainPng(within)!)!]).toEqual([1, 2, 3]);
  });

  it("leaves other kinds and faults to libvips", async () => {
    const bytes = await file(3);
    const wrong = Buffer.from(bytes);
    wrong[60]! ^= 1;
    const kinds: Record<string, Uint8Array> = {
      jpeg: await sharp(bytes).jpeg().toBuffer(),
      palette: await sharp(bytes).png({ palette: true }).toBuffer(),
      interlaced: await sharp(bytes).png({ progressive: true }).toBuffer(),
      "16 bits": await sharp(bytes).toColourspace("rgb16").png().toBuffer(),
      turned: await sharp(bytes).withMetadata({ orientation: 6 }).png().toBuffer(),
      profile: await sharp(bytes).withIccProfile("p3").png().toBuffer(),
      "colour key": handmadePng(W, H, deflateSync(lines(0)), { ...rgb, extra: [pngChunk("tRNS", Buffer.alloc(6))] }),
      "wrong checksum": wrong,
      nothing: new Uint8Array(0),
    };
    for (let length = 0; length < bytes.length; length += 7) kinds[`${length} bytes`] = bytes.subarray(0, length);
    for (const [kind, other] of Object.entries(kinds)) expect(plainPng(other), kind).toBeUndefined();
  });

  it.each([
    ["too few scanlines", deflateSync(lines(0).subarray(1))],
    ["too many scanlines", deflateSync(Buffer.concat([lines(0), Buffer.of(0)]))],
    ["an unknown filter", deflateSync(lines(5))],
    ["no deflate stream", Buffer.from("hello")],
    ["a stream that unpacks to much more", deflateSync(Buffer.alloc(2 ** 24))],
  ])("gives no pixels of %s", (_, data) => {
    expect(plainPngPixels(plainPng(handmadePng(W, H, data, rgb))!)).toBeUndefined();
  });
});

test("a small picture survives encoding and decoding, and libvips reads the same", async () => {
  for (const [width, height] of [
    [1, 1],
    [2, 3],
    [W, H],
    [128, 128],
  ] as const) {
    const pixels = new NDArray(
      "uint8",
      [height, width, 3],
      new Uint8Array(width * height * 3).map((_, i) => i * i),
    );
    const picture = await encodeImage(pixels);
    expect((await decodeImage(new ImageValue(picture.bytes))).data).toEqual(pixels.data);
    expect(new Uint8Array(await libvips(picture.bytes))).toEqual(pixels.data);
  }
});
