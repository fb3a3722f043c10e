import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";

/** What an edge detector works on: interleaved pixels in C order and whole thresholds from 0 up, low <= high. */
export interface CannyInput {
  pixels: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 3;
  low: number;
  high: number;
}

const INT32_MAX = 2 ** 31 - 1;

/**
 * Checks the arguments of `canny` and brings them into the one form its implementations take.
 * @throws ServiceError INVALID_ARGUMENT naming the field and what it must be.
 */
export function cannyInput(image: NDArray, low: number, high: number): CannyInput {
  if (!NDArray.is(image)) throw invalid("image", "must be an NDArray");
  if (image.dtype !== "uint8") throw invalid("image", `must be of dtype uint8, not ${image.dtype}; scale it to 0..255`);
  const [height = 0, width = 0, channels = 1] = image.shape;
  const rank = image.shape.length;
  if ((rank !== 2 && rank !== 3) || (channels !== 1 && channels !== 3)) {
    const fix = channels === 4 && rank === 3 ? "; drop the alpha channel" : "";
    throw invalid("image", `must be of shape [h, w], [h, w, 1] or [h, w, 3], not [${image.shape}]${fix}`);
  }
  if (height < 1 || width < 1) throw invalid("image", `has no pixels: its shape is [${image.shape}]`);
  if (typeof low !== "number") throw invalid("low", `must be a number, not ${typeof low}`);
  if (typeof high !== "number") throw invalid("high", `must be a number, not ${typeof high}`);

  const [lower, upper] = low > high ? [high, low] : [low, high];
  // A gray picture broadcast to three channels has the edges of the gray one.
  const gray = channels === 3 && image.strides?.[2] === 0;
  const own = (
    gray
      ? new NDArray("uint8", [height, width], image.data as Uint8Array<ArrayBuffer>, image.strides!.slice(0, 2))
      : image
  ).contiguous();
  return {
    pixels: own.data as Uint8Array<ArrayBuffer>,
    width,
    height,
    channels: gray ? 1 : channels,
    low: wholeThreshold(lower),
    high: wholeThreshold(upper),
  };
}

/**
 * OpenCV floors thresholds to an int; NaN and what lies outside an int become the lowest int there (on x86), and a
 * negative threshold acts like 0, for no pixel of magnitude 0 is a maximum. Magnitudes end at 2040.
 */
function wholeThreshold(value: number): number {
  const whole = Math.floor(value);
  return whole >= 0 && whole <= INT32_MAX ? Math.min(whole, 32767) : 0;
}

function invalid(field: string, message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `${field} ${message}`, { detail: [{ path: [field], message }] });
}
