import * as z from "zod/mini";
import {
  bytesTransform,
  type Dimension,
  imageTransform,
  type NDArrayOptions,
  ndarrayTransform,
} from "./binary-field.ts";
import type { ImageValue } from "./image.ts";
import type { DType, NDArray } from "./ndarray.ts";

/** As `ndarray` of `schemas.ts`, of zod/mini's: for contracts of functions, which zod itself keeps 20 ms from starting. */
export function ndarray<D extends DType>(
  dtype: D,
  shape?: readonly Dimension[],
  options?: NDArrayOptions,
): z.ZodMiniType<NDArray<D>, NDArray<D>> {
  return z.pipe(z.unknown(), ndarrayTransform(dtype, shape, options)) as z.ZodMiniType as z.ZodMiniType<
    NDArray<D>,
    NDArray<D>
  >;
}

/** As `image` of `schemas.ts`. */
export function image(): z.ZodMiniType<ImageValue, ImageValue> {
  return z.pipe(z.unknown(), imageTransform()) as z.ZodMiniType as z.ZodMiniType<ImageValue, ImageValue>;
}

/** As `bytes` of `schemas.ts`. */
export function bytes(): z.ZodMiniType<Uint8Array, Uint8Array> {
  return z.pipe(z.unknown(), bytesTransform()) as z.ZodMiniType as z.ZodMiniType<Uint8Array, Uint8Array>;
}
