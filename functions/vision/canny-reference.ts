import { NDArray } from "#shared/codec/ndarray.ts";
import { type CannyInput, cannyInput } from "./canny-input.ts";

/** tan(22.5 deg) in 15 bits, as OpenCV rounds it; tan(67.5 deg) is exactly 2 more. */
const TG22 = 13573;
const WEAK = 1;
const STRONG = 255;

/**
 * `canny` in plain TypeScript: the oracle of the WebAssembly kernel, and what runs where there is no SIMD. Same
 * arguments, result and errors as {@link ./canny.ts canny}; several times slower.
 */
export function cannyReference(image: NDArray, low: number, high: number): NDArray<"uint8"> {
  const input = cannyInput(image, low, high);
  return new NDArray("uint8", [input.height, input.width], referenceEdges(input));
}

/** Edges of a checked input: width x height bytes of 0 or 255. */
export function referenceEdges(input: CannyInput): Uint8Array<ArrayBuffer> {
  const { width, height } = input;
  const stride = width + 2;
  // The map has a border of one pixel, so that a neighbour needs no bounds check.
  const map = new Uint8Array(stride * (height + 2));
  const stack = suppress(input, map, stride);

  while (stack.length > 0) {
    const at = stack.pop()!;
    for (let row = at - stride - 1; row <= at + stride - 1; row += stride)
      for (let near = row; near < row + 3; near++)
        if (map[near] === WEAK) {
          map[near] = STRONG;
          stack.push(near);
        }
  }

  const edges = new Uint8Array(width * height);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0, from = (y + 1) * stride + 1; x < width; x++) edges[to++] = map[from++] === STRONG ? 255 : 0;
  return edges;
}

/** Gradients of a row, with one value more at either end for the magnitudes outside the picture, which are 0. */
interface GradientRow {
  dx: Int16Array;
  dy: Int16Array;
  magnitude: Int16Array;
}

/** Non-maximum suppression of every row into the map; gives the positions of the strong pixels. */
function suppress(input: CannyInput, map: Uint8Array, stride: number): number[] {
  const { width, height, low, high } = input;
  const blank = (): GradientRow => ({
    dx: new Int16Array(width + 2),
    dy: new Int16Array(width + 2),
    magnitude: new Int16Array(width + 2),
  });
  const outside = blank();
  const strong: number[] = [];
  let above = blank();
  let row = blank();
  let below = blank();
  sobel(input, 0, row);

  for (let y = 0; y < height; y++) {
    if (y + 1 < height) sobel(input, y + 1, below);
    const up = (y > 0 ? above : outside).magnitude;
    const down = (y + 1 < height ? below : outside).magnitude;
    const { dx, dy, magnitude } = row;
    for (let x = 1, at = (y + 1) * stride + 1; x <= width; x++, at++) {
      const m = magnitude[x]!;
      if (m <= low) continue;
      const ax = Math.abs(dx[x]!) * TG22;
      const ay = Math.abs(dy[x]!) << 15;
      let maximum: boolean;
      if (ay < ax) maximum = m > magnitude[x - 1]! && m >= magnitude[x + 1]!;
      else if (ay > ax + (Math.abs(dx[x]!) << 16)) maximum = m > up[x]! && m >= down[x]!;
      else {
        const side = (dx[x]! ^ dy[x]!) < 0 ? -1 : 1;
        maximum = m > up[x - side]! && m > down[x + side]!;
      }
      if (!maximum) continue;
      map[at] = m > high ? STRONG : WEAK;
      if (m > high) strong.push(at);
    }
    [above, row, below] = [row, below, above];
  }
  return strong;
}

/** 3x3 Sobel of row y over a replicated border: at each pixel the channel of the largest |dx| + |dy|, the first on a tie. */
function sobel({ pixels, width, height, channels }: CannyInput, y: number, out: GradientRow): void {
  const bytes = width * channels;
  const up = Math.max(y - 1, 0) * bytes;
  const here = y * bytes;
  const down = Math.min(y + 1, height - 1) * bytes;
  for (let x = 0; x < width; x++) {
    const left = x > 0 ? -channels : 0;
    const right = x + 1 < width ? channels : 0;
    let best = -1;
    for (let i = x * channels, end = i + channels; i < end; i++) {
      const a = pixels[up + i + left]!;
      const b = pixels[up + i + right]!;
      const c = pixels[down + i + left]!;
      const d = pixels[down + i + right]!;
      const dx = b - a + 2 * (pixels[here + i + right]! - pixels[here + i + left]!) + d - c;
      const dy = c - a + 2 * (pixels[down + i]! - pixels[up + i]!) + d - b;
      const m = Math.abs(dx) + Math.abs(dy);
      if (m > best) {
        best = m;
        out.dx[x + 1] = dx;
        out.dy[x + 1] = dy;
        out.magnitude[x + 1] = m;
      }
    }
  }
}
