import * as z from "zod";
import {
  bytesTransform,
  type Dimension,
  imageTransform,
  type NDArrayOptions,
  ndarrayTransform,
} from "./binary-field.ts";
import type { ImageValue } from "./image.ts";
import type { DType, NDArray } from "./ndarray.ts";

/**
 * Schema of an array: its dtype and, when given, its shape. Takes an {@link NDArray} or, from JSON, nested lists.
 * @example ndarray("uint8", ["h", "w", 3])
 */
export function ndarray<D extends DType>(
  dtype: D,
  shape?: readonly Dimension[],
  options?: NDArrayOptions,
): z.ZodType<NDArray<D>, NDArray<D>> {
  return z.unknown().pipe(ndarrayTransform(dtype, shape, options)) as z.ZodType as z.ZodType<NDArray<D>, NDArray<D>>;
}

/** Schema of a picture. Takes an {@link ImageValue}, the file's bytes or, from JSON, its base64 or a data URL. */
export function image(): z.ZodType<ImageValue, ImageValue> {
  return z.unknown().pipe(imageTransform()) as z.ZodType as z.ZodType<ImageValue, ImageValue>;
}

/** Schema of raw bytes. Takes a `Uint8Array` or, from JSON, base64. */
export function bytes(): z.ZodType<Uint8Array, Uint8Array> {
  return z.unknown().pipe(bytesTransform()) as z.ZodType as z.ZodType<Uint8Array, Uint8Array>;
}
