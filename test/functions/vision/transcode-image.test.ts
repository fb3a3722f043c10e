import sharp from "sharp";
import { expect, test } from "vitest";
import { transcodeImage } from "#functions/vision/transcode-image.ts";
import { IMAGE_FORMATS, ImageValue } from "#shared/codec/image.ts";

test("transcoding leaves the bytes alone when the format is right already, and only then", async () => {
  const image = new ImageValue(
    await sharp({ create: { width: 6, height: 4, channels: 3, background: "#336699" } })
      .png()
      .toBuffer(),
    "png",
  );
  expect(await transcodeImage(image, "png")).toBe(image);
  expect((await transcodeImage(new ImageValue(image.bytes), "png")).bytes).toBe(image.bytes);
  for (const format of IMAGE_FORMATS) {
    const { bytes, mediaType } = await transcodeImage(image, format);
    expect(mediaType).toBe(`image/${format}`);
    const metadata = await sharp(bytes).metadata();
    expect([metadata.mediaType, metadata.width, metadata.height]).toEqual([`image/${format}`, 6, 4]);
  }
});
