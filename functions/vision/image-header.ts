import type { ImageFormat, ImageValue } from "#shared/codec/image.ts";
import { bufferOf, loadSharp } from "#shared/image/sharp.ts";
import { imageError, imageFormat } from "./image-format.ts";

/** What a picture may cost. */
export interface ImageLimits {
  /** Bytes of the file. Default 64 MiB. */
  maxBytes: number;
  /** Pixels of one frame, by the header. Default 128 million: 10000 x 10000 passes, 16000 x 16000 does not. */
  maxPixels: number;
}

export interface ImageInputOptions {
  limits?: Partial<ImageLimits> | undefined;
  /** Name of the input the picture came in; errors point at it. Default `image`. */
  field?: string | undefined;
}

/** What a picture's header says. */
export interface ImageHeader {
  format: ImageFormat;
  /** Pixels a row and rows as a viewer shows them: after EXIF orientation. */
  width: number;
  height: number;
  hasAlpha: boolean;
  /** Rough memory a pixel, in bytes, that a decoder holds at once; 0 where it streams rows. */
  heldPerPixel: number;
}

/** Longest side that is read, in pixels: JPEG's own limit. A row of more costs its decoder memory before any check. */
export const MAX_SIDE = 65_535;

/** libvips reads these formats whole. Measured at 10000 x 10000 where lower than the worst case. */
const HELD_PER_PIXEL = { png: 0, jpeg: 0, webp: 4, avif: 6, gif: 8 } as const satisfies Record<ImageFormat, number>;

/**
 * Reads a picture's header, and no pixel.
 * @throws ServiceError INVALID_ARGUMENT (empty or damaged), UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE (over a limit).
 */
export async function readImageHeader(image: ImageValue, options: ImageInputOptions = {}): Promise<ImageHeader> {
  const { maxBytes = 64 * 2 ** 20, maxPixels = 128e6 } = options.limits ?? {};
  const field = options.field ?? "image";
  const { bytes } = image;
  const format = imageFormat(bytes, field);
  if (bytes.length > maxBytes) {
    const message = `the picture has ${bytes.length} bytes; the limit is ${maxBytes}`;
    throw imageError("PAYLOAD_TOO_LARGE", message, field);
  }
  const metadata = await metadataOf(image).catch((error: unknown) => {
    throw unreadable(error, format, field);
  });
  const { width, height } = metadata;
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > maxPixels) {
    const limit = `the limit is ${maxPixels} pixels and ${MAX_SIDE} a side`;
    const message = `the picture has ${width} x ${height} = ${width * height} pixels; ${limit}`;
    throw imageError("PAYLOAD_TOO_LARGE", message, field);
  }
  const whole = metadata.isProgressive === true ? { png: 4, jpeg: 6 }[format as string] : undefined;
  return {
    format,
    width: metadata.autoOrient.width,
    height: metadata.autoOrient.height,
    hasAlpha: metadata.hasAlpha,
    heldPerPixel: whole ?? HELD_PER_PIXEL[format],
  };
}

/** What libvips read of a picture, which is asked for its size first and then for its pixels. */
const known = new WeakMap<ImageValue, ReturnType<typeof readMetadata>>();

function metadataOf(image: ImageValue): ReturnType<typeof readMetadata> {
  const metadata = known.get(image) ?? readMetadata(image);
  known.set(image, metadata);
  return metadata;
}

async function readMetadata({ bytes }: ImageValue) {
  const sharp = await loadSharp();
  // The limit on pixels is checked by the caller, whose error can tell the numbers.
  return sharp(bufferOf(bytes), { failOn: "error", limitInputPixels: false }).metadata();
}

/** The error for a picture that a decoder gave up on. */
export function unreadable(error: unknown, format: ImageFormat, field: string) {
  const text = error instanceof Error ? error.message : String(error);
  if (/timeout: \d/.test(text))
    return imageError("DEADLINE_EXCEEDED", "decoding the picture takes too long", field, error);
  if (/pixel limit|security limit|exceeds the maximum/i.test(text))
    return imageError("PAYLOAD_TOO_LARGE", "the picture is larger than its decoder allows", field, error);
  return imageError("INVALID_ARGUMENT", `the ${format} picture is damaged or cut off`, field, error);
}
