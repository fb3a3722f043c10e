import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { imageSize, workingSize } from "#functions/vision/image-size.ts";
import { ImageValue } from "#shared/codec/image.ts";

const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "#123456" } });

describe("imageSize", () => {
  test.each(["png", "jpeg", "webp", "avif", "gif"] as const)("%s: from the header", async (format) => {
    const bytes = await picture(37, 21)[format]().toBuffer();
    expect(await imageSize(new ImageValue(bytes))).toEqual({ width: 37, height: 21 });
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("EXIF orientation %i: as a viewer shows it", async (orientation) => {
    const bytes = await picture(37, 21).withMetadata({ orientation }).jpeg().toBuffer();
    const [width, height] = orientation > 4 ? [21, 37] : [37, 21];
    expect(await imageSize(new ImageValue(bytes))).toEqual({ width, height });
  });

  test("no pixel is read: a JPEG cut off after its header still tells its size", async () => {
    const bytes = await picture(500, 400).jpeg().toBuffer();
    const header = bytes.subarray(0, bytes.indexOf(Buffer.from([0xff, 0xda])) + 20);
    expect(await imageSize(new ImageValue(header))).toEqual({ width: 500, height: 400 });
  });

  test("an animation has the size of a frame", async () => {
    const frames = { width: 8, height: 24, channels: 3, pageHeight: 8 } as const;
    const bytes = await sharp(
      Buffer.alloc(8 * 24 * 3)
        .fill(1)
        .fill(200, 300),
      { raw: frames },
    )
      .gif()
      .toBuffer();
    expect(await imageSize(new ImageValue(bytes))).toEqual({ width: 8, height: 8 });
  });
});

describe("workingSize", () => {
  const square = { width: 700, height: 700 };
  const both = (width: number, height: number) => ({ work: { width, height }, result: { width, height } });

  test("by default: the aspect ratio at the native area, in multiples", () => {
    expect(workingSize(square, 1024, 8)).toEqual(both(1024, 1024));
    expect(workingSize({ width: 1920, height: 1080 }, 1024, 8)).toEqual(both(1368, 768));
    expect(workingSize({ width: 1080, height: 1920 }, 1024, 64)).toEqual(both(768, 1344));
    expect(workingSize({ width: 3, height: 2 }, 64, 8)).toEqual(both(80, 56));
    expect(workingSize({ width: 8, height: 1 }, 16, 8)).toEqual(both(48, 8));
  });

  test("a size asked for is the result's to the pixel; work is rounded up", () => {
    expect(workingSize(square, 1024, 8, { width: 500, height: 333 })).toEqual({
      work: { width: 504, height: 336 },
      result: { width: 500, height: 333 },
    });
    expect(workingSize(square, 1024, 8, { width: 512, height: 8 })).toEqual(both(512, 8));
  });

  test("of one side asked for the other follows by aspect ratio", () => {
    const source = { width: 600, height: 400 };
    expect(workingSize(source, 1024, 8, { width: 300 })).toEqual({
      work: { width: 304, height: 200 },
      result: { width: 300, height: 200 },
    });
    expect(workingSize(source, 1024, 8, { height: 100 }).result).toEqual({ width: 150, height: 100 });
    expect(workingSize({ width: 8, height: 1 }, 1024, 8, { width: 3 }).result).toEqual({ width: 3, height: 1 });
  });

  test("sides longer than 8:1 must be asked for both", () => {
    const strip = { width: 900, height: 100 };
    const error = expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining("900 x 100") });
    expect(() => workingSize(strip, 1024, 8)).toThrow(error);
    expect(() => workingSize({ width: 100, height: 900 }, 1024, 8, { width: 64 })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
    expect(workingSize(strip, 1024, 8, { width: 900, height: 100 }).work).toEqual({ width: 904, height: 104 });
    expect(workingSize({ width: 800, height: 100 }, 1024, 8)).toEqual(both(2896, 360));
  });

  test.each([0, -8, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("a side of %d is refused, by name", (height) => {
    const detail = [expect.objectContaining({ path: ["params", "height"] })];
    expect(() => workingSize(square, 1024, 8, { width: 64, height })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", detail }),
    );
  });
});
