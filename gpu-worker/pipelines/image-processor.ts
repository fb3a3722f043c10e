import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import type { GraphFloats } from "../onnx/session.ts";

/** A control picture, checked: C-ordered bytes, one or three channels. */
export interface ControlImage {
  data: Uint8Array;
  height: number;
  width: number;
  channels: 1 | 3;
}

/**
 * @param image uint8 [h, w, 3], [h, w, 1] or [h, w]
 * @throws ServiceError INVALID_ARGUMENT for anything else.
 */
export function controlImage(image: unknown): ControlImage {
  const fail = (found: string): never => {
    throw new ServiceError("INVALID_ARGUMENT", `image is ${found}; give uint8 of shape [h, w, 3] or [h, w]`, {
      detail: [{ path: ["image"], message: "must be a uint8 array of shape [h, w, 3] or [h, w]" }],
    });
  };
  if (!NDArray.is(image)) return fail("not an array");
  const [height = 0, width = 0, channels = 1] = image.shape;
  const fits = image.shape.length === 2 || (image.shape.length === 3 && (channels === 1 || channels === 3));
  if (image.dtype !== "uint8" || !fits || height === 0 || width === 0)
    return fail(`${image.dtype} of shape [${image.shape}]`);
  return { data: image.contiguous().data as Uint8Array, height, width, channels: channels === 3 ? 3 : 1 };
}

/**
 * Writes `control` as value / 255 into the first picture of `out` ([batch, 3, height, width], zeroed) and copies it to
 * the others. The control picture lies top left; what it doesn't cover stays 0, "no edge", so no edge is resampled.
 */
export function fillConditioning(control: ControlImage, height: number, width: number, out: GraphFloats): void {
  const plane = height * width;
  for (let channel = 0; channel < 3; channel++) {
    const from = control.channels === 3 ? channel : 0;
    for (let y = 0; y < control.height; y++) {
      const source = y * control.width * control.channels + from;
      const target = channel * plane + y * width;
      for (let x = 0; x < control.width; x++) out[target + x] = control.data[source + x * control.channels]! / 255;
    }
  }
  for (let start = 3 * plane; start < out.length; start += 3 * plane) out.copyWithin(start, 0, 3 * plane);
}

/**
 * The top left [cropHeight, cropWidth] of a decoded picture as RGB bytes: diffusers' clamp(x / 2 + 0.5) * 255, rounded.
 *
 * @param decoded [3, height, width], about -1..1
 * @throws ServiceError INTERNAL when the decoder gave something that isn't a number (a float16 VAE that overflows).
 */
export function toPixels(
  decoded: GraphFloats,
  [height, width]: readonly [number, number],
  [cropHeight, cropWidth]: readonly [number, number],
): NDArray<"uint8"> {
  const plane = height * width;
  const pixels = new Uint8ClampedArray(cropHeight * cropWidth * 3);
  let next = 0;
  let sum = 0;
  for (let y = 0; y < cropHeight; y++)
    for (let x = 0; x < cropWidth; x++)
      for (let channel = 0; channel < 3; channel++) {
        const value = decoded[channel * plane + y * width + x]!;
        sum += value;
        pixels[next++] = (value / 2 + 0.5) * 255;
      }
  if (!Number.isFinite(sum))
    throw new ServiceError(
      "INTERNAL",
      "the VAE decoder overflowed; export it in float32, or use a VAE fixed for float16",
    );
  return new NDArray("uint8", [cropHeight, cropWidth, 3], new Uint8Array(pixels.buffer));
}
