import type { ImageValue } from "#shared/codec/image.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { bufferOf, loadSharp } from "#shared/image/sharp.ts";
import { DecodeGate } from "./decode-gate.ts";
import { type ImageHeader, type ImageInputOptions, readImageHeader, unreadable } from "./image-header.ts";

export interface DecodeOptions extends ImageInputOptions {
  /** Exact size to bring the picture to, in pixels; its own size when left out. Aspect ratio is the caller's affair. */
  size?: { width: number; height: number } | undefined;
  /** Stops waiting for the pixels. A decode that runs cannot be stopped, but is bounded in time. */
  signal?: AbortSignal | undefined;
}

/** Seconds after which libvips gives a picture up; 10000 x 10000 pixels take about one. */
const TIMEOUT_S = 30;

const gate = new DecodeGate(512 * 2 ** 20);

/**
 * Decodes a picture to RGB: uint8 `[h, w, 3]`, C order, 0 to 255, sRGB, upright (EXIF orientation applied). Gray
 * becomes three equal channels, palettes, 1-bit and 16-bit samples 8-bit ones; ICC profiles and CMYK are converted to
 * sRGB. Of an animation the first frame counts. Alpha is dropped, not blended: pixels equal PIL's `convert("RGB")`, and
 * are resized after that, so that no colour depends on alpha.
 *
 * Resizing averages whole factors away and finishes with Lanczos 3, in the stream of decoded rows: a plain PNG or JPEG
 * never lies in memory whole. What must be held whole (interlaced, progressive, WebP, AVIF, GIF, resized pictures with
 * alpha) shares 512 MiB with the other decodes of the process; those that find no room wait.
 * @throws ServiceError INVALID_ARGUMENT (empty, damaged or cut off), UNSUPPORTED_MEDIA_TYPE (not a picture of a format
 * we take), PAYLOAD_TOO_LARGE (bytes or pixels over a limit, known before decoding); the signal's reason.
 */
export async function decodeImage(image: ImageValue, options: DecodeOptions = {}): Promise<NDArray<"uint8">> {
  const { size, signal, field = "image" } = options;
  signal?.throwIfAborted();
  const header = await readImageHeader(image, options);
  const target = size ?? header;
  const alphaFirst = header.hasAlpha && size !== undefined;
  const pixels = header.width * header.height;
  const bytes = pixels * (header.heldPerPixel + (alphaFirst ? 3 : 0)) + target.width * target.height * 6;
  const work = gate
    .run(bytes, () => pixelsOf(image, header, size, alphaFirst), signal)
    .catch((error: unknown) => {
      signal?.throwIfAborted();
      throw unreadable(error, header.format, field);
    });
  const data = await (signal ? untilAborted(work, signal) : work);
  return new NDArray("uint8", [target.height, target.width, 3], data);
}

async function pixelsOf(
  image: ImageValue,
  header: ImageHeader,
  size: { width: number; height: number } | undefined,
  alphaFirst: boolean,
): Promise<Uint8Array<ArrayBuffer>> {
  const sharp = await loadSharp();
  const input = { failOn: "error", autoOrient: true, sequentialRead: true, limitInputPixels: false } as const;
  const exact = { ...(size ?? header), fit: "fill", kernel: "lanczos3" } as const;
  const toRgb = (source: ReturnType<typeof sharp>) =>
    source.removeAlpha().toColourspace("srgb").timeout({ seconds: TIMEOUT_S });
  let picture = toRgb(sharp(bufferOf(image.bytes), input));
  if (alphaFirst) {
    // sharp weighs colours by alpha when it resizes, so alpha must be gone in a pass of its own.
    const raw = await picture.raw({ depth: "uchar" }).toBuffer();
    const { width, height } = header;
    picture = toRgb(sharp(raw, { raw: { width, height, channels: 3 }, limitInputPixels: false }));
  }
  if (size) picture = picture.resize(exact);
  const data = await picture.raw({ depth: "uchar" }).toBuffer();
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
