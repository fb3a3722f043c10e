import sharp from "sharp";
import { expect, test } from "vitest";
import { IMAGE_FORMATS } from "#shared/codec/image.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { encodeImage } from "#shared/image/encode-image.ts";

const W = 24;
const H = 16;
const pixels = Uint8Array.from({ length: W * H * 3 }, (_, i) => (i * 31) % 256);
const rgb = new NDArray("uint8", [H, W, 3], pixels);
const gray = new NDArray("uint8", [H, W], pixels.slice(0, W * H));

const raw = async (bytes: Uint8Array) => [...(await sharp(bytes).raw().toBuffer())];

test("png keeps every pixel: colour and gray, gray in one channel", async () => {
  const colour = await encodeImage(rgb);
  expect([colour.format, colour.mediaType]).toEqual(["png", "image/png"]);
  expect(await raw(colour.bytes)).toEqual([...pixels]);
  const single = await encodeImage(gray, "png");
  // Byte 25 of a PNG is its colour type: 0 is gray.
  expect([single.bytes[24], single.bytes[25]]).toEqual([8, 0]);
  expect(await raw(single.bytes)).toEqual([...gray.data].flatMap((v) => [v, v, v]));
});

test.each(IMAGE_FORMATS)("%s: its own media type and the array's size, colour and gray", async (format) => {
  for (const array of [rgb, gray]) {
    const { bytes } = await encodeImage(array, format);
    const { mediaType, width, height, exif, icc } = await sharp(bytes).metadata();
    expect([mediaType, width, height, exif, icc]).toEqual([`image/${format}`, W, H, undefined, undefined]);
  }
});

test.each(["jpeg", "webp"] as const)("%s: quality changes the size", async (format) => {
  const [low, high] = await Promise.all([10, 100].map((quality) => encodeImage(rgb, format, { quality })));
  expect(low!.bytes.length).toBeLessThan(high!.bytes.length);
});

test("a crop is taken before the size is changed; sizes are exact", async () => {
  const { bytes } = await encodeImage(rgb, "png", { crop: { left: 2, top: 3, width: 5, height: 4 } });
  const expected = Array.from({ length: 4 }, (_, y) => [
    ...pixels.subarray(((y + 3) * W + 2) * 3, ((y + 3) * W + 7) * 3),
  ]);
  expect(await raw(bytes)).toEqual(expected.flat());
  const sized = await encodeImage(rgb, "png", { crop: { width: 20, height: 10 }, size: { width: 33, height: 7 } });
  expect(await sharp(sized.bytes).metadata()).toMatchObject({ width: 33, height: 7 });
});

test("strided arrays and views into larger buffers are encoded by their values", async () => {
  const repeated = new NDArray("uint8", [H, W, 1], gray.data).broadcastTo([H, W, 3]);
  const { bytes } = await encodeImage(repeated);
  expect(await raw(bytes)).toEqual([...gray.data].flatMap((v) => [v, v, v]));
  const large = new Uint8Array(pixels.length + 5);
  large.set(pixels, 5);
  expect(await raw((await encodeImage(new NDArray("uint8", [H, W, 3], large.subarray(5)))).bytes)).toEqual([...pixels]);
});

test("arrays that are no pictures, crops outside and odd qualities are refused", async () => {
  const invalid = { code: "INVALID_ARGUMENT" };
  for (const shape of [[12], [1, 3, 4], [3, 4, 1], [1, 2, 2, 3]]) {
    const array = new NDArray("uint8", shape, new Uint8Array(12));
    await expect(encodeImage(array)).rejects.toMatchObject(invalid);
  }
  await expect(encodeImage(new NDArray("uint8", [0, 4, 3], new Uint8Array()))).rejects.toMatchObject(invalid);
  for (const crop of [
    { width: W + 1, height: 1 },
    { left: -1, width: 1, height: 1 },
    { top: 9, width: 1, height: 8 },
  ])
    await expect(encodeImage(rgb, "png", { crop })).rejects.toMatchObject(invalid);
  for (const quality of [0, 101, 1.5, Number.NaN])
    await expect(encodeImage(rgb, "jpeg", { quality })).rejects.toMatchObject(invalid);
});
