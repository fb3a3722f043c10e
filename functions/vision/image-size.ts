import type { ImageValue } from "#shared/codec/image.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { type ImageInputOptions, readImageHeader } from "./image-header.ts";

/** Pixels a row and rows. */
export interface Size {
  width: number;
  height: number;
}

/** How many times longer than the other one side may be when a size is derived from a picture's aspect ratio. */
export const MAX_ASPECT_RATIO = 8;

/**
 * A picture's size as a viewer shows it (after EXIF orientation), from its header alone.
 * @throws ServiceError INVALID_ARGUMENT, UNSUPPORTED_MEDIA_TYPE or PAYLOAD_TOO_LARGE, as for decoding.
 */
export async function imageSize(image: ImageValue, options: ImageInputOptions = {}): Promise<Size> {
  const { width, height } = await readImageHeader(image, options);
  return { width, height };
}

/**
 * The size a picture is worked on at, and the size of the result.
 *
 * `result` is the size asked for; with one side asked, the other follows by the picture's aspect ratio; with none, it
 * is the picture's aspect ratio at the model's native area (`native` x `native` pixels), in multiples of `multiple`.
 * `work` is `result` rounded up to multiples of `multiple`, which is what the model can run at.
 * @throws ServiceError INVALID_ARGUMENT for a side below 1 or not whole, and when a side must be derived from a picture
 * longer than {@link MAX_ASPECT_RATIO} : 1: squeezing it would be a surprise, following it would ask for
 * many times the model's area. Asking for both sides is the way out.
 */
export function workingSize(
  source: Size,
  native: number,
  multiple: number,
  asked: { width?: number | undefined; height?: number | undefined } = {},
): { work: Size; result: Size } {
  const result = resultSize(source, native, multiple, asked);
  const up = (side: number) => Math.ceil(side / multiple) * multiple;
  return { work: { width: up(result.width), height: up(result.height) }, result };
}

function resultSize(
  source: Size,
  native: number,
  multiple: number,
  { width, height }: { width?: number | undefined; height?: number | undefined },
): Size {
  for (const [name, side] of Object.entries({ width, height }))
    if (side !== undefined && !(Number.isSafeInteger(side) && side >= 1)) {
      const message = `${name} must be a whole number from 1 up, not ${side}`;
      throw new ServiceError("INVALID_ARGUMENT", message, { detail: [{ path: ["params", name], message }] });
    }
  if (width !== undefined && height !== undefined) return { width, height };
  const ratio = source.width / source.height;
  if (Math.max(ratio, 1 / ratio) > MAX_ASPECT_RATIO) {
    const sides = `${source.width} x ${source.height}`;
    const message = `the picture (${sides}) is longer than ${MAX_ASPECT_RATIO} : 1, so give both width and height`;
    throw new ServiceError("INVALID_ARGUMENT", message, { detail: [{ path: ["image"], message }] });
  }
  if (width !== undefined) return { width, height: Math.max(1, Math.round(width / ratio)) };
  if (height !== undefined) return { width: Math.max(1, Math.round(height * ratio)), height };
  const nearest = (side: number) => Math.max(multiple, Math.round(side / multiple) * multiple);
  return { width: nearest(native * Math.sqrt(ratio)), height: nearest(native / Math.sqrt(ratio)) };
}
