import { STRONG, WEAK, gradientX, high, low, magnitude, magnitudes, map, rowBytes, stride, width } from "./layout";

/** tan(22.5 deg) in 15 bits, as OpenCV rounds it. tan(67.5 deg) is exactly 2 more. */
const TG22: i16 = 13573;

/** Lanes of row `m` at offset `x2` (2 bytes a pixel) that are above `low` and maxima along their gradient. */
@inline function maxima(m: usize, above: usize, below: usize, gx: usize, gy: usize, above_low: v128): v128 {
  const value = v128.load(m);
  const dx = v128.load(gx), dy = v128.load(gy);
  const ax = i16x8.abs(dx), ay = i16x8.abs(dy);
  // floor(|dx| tan 22.5): q15mulr rounds to nearest, bit 14 of the product tells where it rounded up. |dx| tan 22.5 is
  // whole only for dx = 0, hence |dy| > floor is the same as |dy| > |dx| tan 22.5.
  const product = i16x8.mul(ax, i16x8.splat(TG22));
  const tan22 = i16x8.add(i16x8.q15mulr_sat_s(ax, i16x8.splat(TG22)), i16x8.shr_s(i16x8.shl(product, 1), 15));
  const steep = i16x8.gt_s(ay, tan22);
  const vertical = i16x8.gt_s(ay, i16x8.add(tan22, i16x8.shl(ax, 1)));
  const anti = i16x8.shr_s(v128.xor(dx, dy), 15);

  const acrossX = v128.and(i16x8.gt_s(value, v128.load(m - 2)), i16x8.ge_s(value, v128.load(m, 2)));
  const acrossY = v128.and(i16x8.gt_s(value, v128.load(above)), i16x8.ge_s(value, v128.load(below)));
  const up = v128.bitselect(v128.load(above, 2), v128.load(above - 2), anti);
  const down = v128.bitselect(v128.load(below - 2), v128.load(below, 2), anti);
  const diagonal = i16x8.gt_s(value, i16x8.max_s(up, down));
  return v128.and(above_low, v128.bitselect(v128.bitselect(acrossY, diagonal, vertical), acrossX, steep));
}

/** Non-maximum suppression of row y into the map: 0, WEAK or STRONG. `below` is the row of magnitudes under it. */
export function suppress(y: usize, below: usize): void {
  const m = magnitude(y), gx = gradientX(y), gy = gx + rowBytes;
  const above = y > 0 ? magnitude(y - 1) : magnitudes + 3 * rowBytes;
  const to = map + y * stride;
  const lows = i16x8.splat(low), highs = i16x8.splat(high);
  for (let x: usize = 0; x < width; x += 16) {
    const m0 = v128.load(m + 2 * x), m1 = v128.load(m + 2 * x, 16);
    const low0 = i16x8.gt_s(m0, lows), low1 = i16x8.gt_s(m1, lows);
    let kinds = i8x16.splat(0);
    if (v128.any_true(v128.or(low0, low1))) {
      const i: usize = 2 * x, j: usize = i + 16;
      const max0 = maxima(m + i, above + i, below + i, gx + i, gy + i, low0);
      const max1 = maxima(m + j, above + j, below + j, gx + j, gy + j, low1);
      const maxima16 = i8x16.narrow_i16x8_s(max0, max1);
      const strong = i8x16.narrow_i16x8_s(i16x8.gt_s(m0, highs), i16x8.gt_s(m1, highs));
      kinds = v128.and(maxima16, v128.bitselect(i8x16.splat(<i8>STRONG), i8x16.splat(WEAK), strong));
    }
    v128.store(to + x, kinds);
  }
  store<u8>(to + width, 0);
}
