import { IMAGE_FORMATS, type ImageFormat } from "#shared/codec/image.ts";
import { ServiceError } from "#shared/errors/service-error.ts";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * The format that a picture's first bytes say it has, whatever its name or label claims. Runs before any decoder, so
 * that nothing else (SVG, PDF, TIFF, HEIC, BMP, ...) ever reaches one.
 * @param field Name of the input the picture came in; errors point at it.
 * @throws ServiceError INVALID_ARGUMENT for no bytes at all, UNSUPPORTED_MEDIA_TYPE for any other format.
 */
export function imageFormat(bytes: Uint8Array, field = "image"): ImageFormat {
  if (bytes.length === 0) throw imageError("INVALID_ARGUMENT", "the picture is empty", field);
  if (PNG.every((byte, i) => bytes[i] === byte)) return "png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "jpeg";
  if (/^GIF8[79]a$/.test(latin(bytes, 0, 6))) return "gif";
  if (latin(bytes, 0, 4) === "RIFF" && latin(bytes, 8, 12) === "WEBP") return "webp";
  if (isAvif(bytes)) return "avif";
  const message = `not a picture of a supported format: ${IMAGE_FORMATS.join(", ")}`;
  throw imageError("UNSUPPORTED_MEDIA_TYPE", message, field);
}

/** An error about the picture in `field`. */
export function imageError(
  code: "INVALID_ARGUMENT" | "PAYLOAD_TOO_LARGE" | "UNSUPPORTED_MEDIA_TYPE" | "DEADLINE_EXCEEDED",
  message: string,
  field: string,
  cause?: unknown,
): ServiceError {
  return new ServiceError(code, message, { detail: [{ path: [field], message }], cause });
}

/** An ISO media file of which any brand says AVIF: `[size]ftyp[brand][version][brand]...` */
function isAvif(bytes: Uint8Array): boolean {
  if (latin(bytes, 4, 8) !== "ftyp") return false;
  const size = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  const brands = latin(bytes, 8, Math.min(size, 256));
  for (let at = 0; at + 4 <= brands.length; at += 4)
    if (at !== 4 && /^avi[fs]$/.test(brands.slice(at, at + 4))) return true;
  return false;
}

function latin(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
