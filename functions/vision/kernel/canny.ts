/**
 * Canny's edge detector in AssemblyScript with 128-bit SIMD, bit for bit as `cv2.Canny` (aperture 3, L1 norm). Rows
 * are fed in strips; each row runs through channel planes, Sobel, the channel of the largest magnitude and non-maximum
 * suppression in buffers a few rows high, so that only the edge map (a byte a pixel) is as large as the picture.
 *
 * Call `begin` once, write rows to the pointer it gives and call `feed` with their count until all rows are in, then
 * read width x height bytes (0 or 255) at the pointer that `finish` gives. No allocator, no imports: memory from
 * `__heap_base` on is laid out by `begin`.
 */
import { copyRow, deinterleave, sobel1, sobel3 } from "./gradients";
import { hysteresis } from "./hysteresis";
import { channels, height, layOut, magnitude, magnitudes, plane, rowBytes, strip, width } from "./layout";
import { suppress } from "./suppression";

/** Rows taken so far. */
let fed: usize = 0;

/**
 * Starts a picture of w x h pixels and gives the pointer where strips of up to `stripRows` rows are to be written; 0
 * when memory can't grow that far. The thresholds are whole and from 0 up, `stackBytes` a multiple of 4.
 */
export function begin(
  w: u32, h: u32, c: u32, lowThreshold: i32, highThreshold: i32, stripRows: u32, stackBytes: u32,
): usize {
  fed = 0;
  return layOut(w, h, c, lowThreshold, highThreshold, stripRows, stackBytes);
}

/** Takes `rows` more rows, interleaved, from the strip's pointer. */
export function feed(rows: u32): void {
  let from = strip;
  for (let i: u32 = 0; i < rows; i++) {
    if (channels == 3) deinterleave(from, plane(fed, 0), plane(fed, 1), plane(fed, 2));
    else copyRow(from, plane(fed, 0));
    from += width * channels;
    if (fed > 0) rowAbove(fed);
    fed++;
  }
  if (fed == height) {
    rowAbove(height);
    suppress(height - 1, magnitudes + 3 * rowBytes);
  }
}

/** Gradients of row y - 1, the last one whose neighbours are known, then suppression of the row above that. */
function rowAbove(y: usize): void {
  const above = y > 1 ? y - 2 : 0;
  const below = y < height ? y : height - 1;
  if (channels == 3) sobel3(above, y - 1, below);
  else sobel1(above, y - 1, below);
  if (y > 1) suppress(y - 2, magnitude(y - 1));
}

/** Hysteresis over the whole map; gives the pointer of width x height bytes of 0 or 255. */
export function finish(): usize {
  return hysteresis();
}
