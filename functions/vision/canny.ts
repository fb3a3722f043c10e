import { NDArray } from "#shared/codec/ndarray.ts";
import { cannyInput } from "./canny-input.ts";
import { kernelEdges, kernelModule } from "./canny-kernel.ts";
import { referenceEdges } from "./canny-reference.ts";

/**
 * Canny's edge detector, bit for bit as `cv2.Canny(image, low, high)` of OpenCV 4 and 5: 3x3 Sobel over a replicated
 * border, L1 norm, at each pixel the channel with the largest magnitude (the first on a tie), non-maximum suppression
 * in four directions, hysteresis over 8 neighbours. The picture is not blurred first.
 *
 * @param image dtype uint8, shape [h, w, 3], [h, w, 1] or [h, w]; only read. Strided views are copied.
 * @param low magnitude (0..2040) that a pixel must exceed to continue an edge. Thresholds are floored, and swapped when
 * low > high; negative ones act like 0, and so do, as in OpenCV on x86, NaN and values past an int of 32 bits.
 * @param high magnitude that a pixel must exceed to start an edge.
 * @returns dtype uint8, shape [h, w], C order: 255 on an edge, else 0. A new array, owned by the caller.
 * @throws ServiceError INVALID_ARGUMENT for another dtype or shape, PAYLOAD_TOO_LARGE for a picture past about 4
 * gigapixels.
 *
 * Runs on the calling thread: about 5 ms a megapixel of RGB; see `cannyAsync` for servers.
 */
export function canny(image: NDArray, low: number, high: number): NDArray<"uint8"> {
  const input = cannyInput(image, low, high);
  const module = kernelModule();
  const edges = module ? kernelEdges(module, input) : referenceEdges(input);
  return new NDArray("uint8", [input.height, input.width], edges);
}
