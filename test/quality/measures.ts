import type { NDArray } from "#shared/codec/ndarray.ts";

/** The colours that the model was taught by name, as in gpu-worker/training/colours.py. */
export const COLOURS = {
  red: [214, 38, 38],
  orange: [245, 130, 32],
  yellow: [250, 208, 44],
  green: [52, 168, 70],
  cyan: [40, 196, 206],
  blue: [44, 92, 222],
  purple: [136, 62, 196],
  pink: [247, 120, 178],
  brown: [128, 78, 44],
  white: [244, 244, 244],
  gray: [140, 142, 148],
  black: [34, 34, 38],
} as const;
export type Colour = keyof typeof COLOURS;
export const COLOUR_NAMES = Object.keys(COLOURS) as Colour[];

/** Pixels that are on in `a` [h, w] and have one of `b` within `tolerance` pixels each way, as a share of `a`'s. */
export function nearShare(a: NDArray<"uint8">, b: NDArray<"uint8">, tolerance: number): number {
  const [height, width] = a.shape as [number, number];
  let found = 0;
  let all = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (!a.data[y * width + x]) continue;
      all++;
      let near = false;
      for (let v = Math.max(0, y - tolerance); v <= Math.min(height - 1, y + tolerance); v++)
        for (let u = Math.max(0, x - tolerance); u <= Math.min(width - 1, x + tolerance); u++)
          near ||= b.data[v * width + u] !== 0;
      if (near) found++;
    }
  return all === 0 ? 0 : found / all;
}

/** The named colour nearest to the median of a region of `pixels` [h, w, 3]; lightness counts half: objects are shaded. */
export function colourOf(pixels: NDArray<"uint8">, region: ArrayLike<unknown>): Colour {
  const median = [0, 1, 2].map((channel) => {
    const values: number[] = [];
    for (let at = 0; at < region.length; at++) if (region[at]) values.push(pixels.data[at * 3 + channel]!);
    return values.sort((a, b) => a - b)[values.length >> 1]!;
  });
  const [l, a, b] = lab(median);
  const distance = (colour: Colour): number => {
    const [L, A, B] = lab(COLOURS[colour]);
    return (l - L) ** 2 / 2 + (a - A) ** 2 + (b - B) ** 2;
  };
  return COLOUR_NAMES.reduce((best, next) => (distance(next) < distance(best) ? next : best));
}

/** CIE L*a*b* of an sRGB colour (IEC 61966-2-1, D65). */
function lab([r, g, b]: readonly number[]): [number, number, number] {
  const [R, G, B] = [r!, g!, b!].map((byte) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const f = (t: number): number => (t > 216 / 24389 ? Math.cbrt(t) : (t * 24389) / 27 / 116 + 16 / 116);
  const x = f((0.4124 * R + 0.3576 * G + 0.1805 * B) / 0.9505);
  const y = f(0.2126 * R + 0.7152 * G + 0.0722 * B);
  const z = f((0.0193 * R + 0.1192 * G + 0.9505 * B) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}
