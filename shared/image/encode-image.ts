import { type ImageFormat, ImageValue } from "../codec/image.ts";
import type { NDArray } from "../codec/ndarray.ts";
import { ServiceError } from "../errors/service-error.ts";
import { bufferOf, loadSharp } from "./sharp.ts";

export interface EncodeOptions {
  /** 1 to 100, for JPEG (default 90), WebP (80) and AVIF (60); PNG and GIF ignore it. */
  quality?: number | undefined;
  /** Part of the pixels to keep, in pixels; taken before `size`. Left and top default to 0. */
  crop?: { left?: number; top?: number; width: number; height: number } | undefined;
  /** Exact size to bring the picture to, in pixels (Lanczos 3; aspect ratio is the caller's affair). */
  size?: { width: number; height: number } | undefined;
}

/**
 * Encodes pixels: `[h, w, 3]` RGB or `[h, w]` gray, 0 to 255; gray stays one channel where the format has it.
 *
 * Levels are chosen by CPU time against size at 1024x1024. Colour PNG: level 2 with adaptive filters (68 ms, 0.97 MB;
 * level 6: 183 ms, 0.85 MB; level 2 without filters: 48 ms, 1.95 MB). Gray PNG, here edges: no filters, which
 * only hurt there (2 ms against 12). WebP: effort 2 (41 ms, 3 % more bytes than effort 4 in 96 ms).
 * @throws ServiceError INVALID_ARGUMENT when the array's shape is not that of a picture or the crop leaves it.
 */
export async function encodeImage(
  pixels: NDArray<"uint8">,
  format: ImageFormat = "png",
  options: EncodeOptions = {},
): Promise<ImageValue> {
  const [height = 0, width = 0, channels = 1] = pixels.shape;
  const rank = pixels.shape.length;
  if (pixels.dtype !== "uint8" || !(rank === 2 || (rank === 3 && channels === 3)) || pixels.size === 0)
    throw new ServiceError(
      "INVALID_ARGUMENT",
      `pixels must be uint8 [h, w, 3] or [h, w] with h, w >= 1, not ${pixels.dtype} [${pixels.shape}]`,
    );
  const { crop, size, quality } = options;
  if (quality !== undefined && !(Number.isInteger(quality) && quality >= 1 && quality <= 100))
    throw new ServiceError("INVALID_ARGUMENT", `quality must be a whole number from 1 to 100, not ${quality}`);
  const sharp = await loadSharp();
  const gray = rank === 2;
  let picture = sharp(bufferOf(pixels.contiguous().data), {
    raw: { width, height, channels: gray ? 1 : 3 },
    limitInputPixels: false,
  });
  if (crop) {
    const { left = 0, top = 0 } = crop;
    if (!(left >= 0 && top >= 0 && left + crop.width <= width && top + crop.height <= height))
      throw new ServiceError("INVALID_ARGUMENT", `the crop leaves the picture of ${width} x ${height} pixels`);
    picture = picture.extract({ left, top, width: crop.width, height: crop.height });
  }
  const from = crop ?? { width, height };
  if (size && (size.width !== from.width || size.height !== from.height))
    picture = picture.resize({ ...size, fit: "fill", kernel: "lanczos3" });
  if (gray) picture = picture.toColourspace("b-w");
  switch (format) {
    case "png":
      picture = picture.png({ compressionLevel: 2, adaptiveFiltering: !gray });
      break;
    case "jpeg":
      picture = picture.jpeg({ quality: quality ?? 90 });
      break;
    case "webp":
      picture = picture.webp({ quality: quality ?? 80, effort: 2 });
      break;
    case "avif":
      picture = picture.avif({ quality: quality ?? 60, effort: 2 });
      break;
    case "gif":
      picture = picture.gif();
      break;
  }
  return new ImageValue(await picture.toBuffer(), format);
}
