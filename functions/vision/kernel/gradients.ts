import { gradientX, magnitude, plane, rowBytes, width } from "./layout";

/** Repeats a plane's first and last pixel to its left and right. */
@inline function replicate(row: usize): void {
  store<u8>(row - 1, load<u8>(row));
  store<u8>(row + width, load<u8>(row + width - 1));
}

export function copyRow(from: usize, to: usize): void {
  for (let x: usize = 0; x < width; x += 16) v128.store(to + x, v128.load(from + x));
  replicate(to);
}

export function deinterleave(from: usize, red: usize, green: usize, blue: usize): void {
  for (let x: usize = 0; x < width; x += 16, from += 48) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const c = v128.load(from, 32);
    v128.store(red + x, v128.shuffle<u8>(
      v128.shuffle<u8>(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0), c,
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29));
    v128.store(green + x, v128.shuffle<u8>(
      v128.shuffle<u8>(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0), c,
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30));
    v128.store(blue + x, v128.shuffle<u8>(
      v128.shuffle<u8>(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0), c,
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31));
  }
  replicate(red);
  replicate(green);
  replicate(blue);
}

@inline function at(row: usize): v128 {
  return v128.load_ext<u8>(row);
}

/** a + 2b + c. */
@inline function smooth(a: v128, b: v128, c: v128): v128 {
  return i16x8.add(i16x8.add(a, c), i16x8.shl(b, 1));
}

@inline function l1(dx: v128, dy: v128): v128 {
  return i16x8.add(i16x8.abs(dx), i16x8.abs(dy));
}

/** The magnitude past both ends of the row counts as 0. */
@inline function endRow(m: usize): void {
  const end = m + 2 * width;
  v128.store(end, i16x8.splat(0));
  v128.store(end, i16x8.splat(0), 16);
  v128.store(end, i16x8.splat(0), 32);
}

export function sobel1(above: usize, y: usize, below: usize): void {
  const m = magnitude(y), gx = gradientX(y), gy = gx + rowBytes;
  const p = plane(above, 0), c = plane(y, 0), n = plane(below, 0);
  for (let x: usize = 0; x < width; x += 8) {
    const p0 = at(p + x - 1), p2 = at(p + x + 1), n0 = at(n + x - 1), n2 = at(n + x + 1);
    const dx = i16x8.sub(smooth(p2, at(c + x + 1), n2), smooth(p0, at(c + x - 1), n0));
    const dy = i16x8.sub(smooth(n0, at(n + x), n2), smooth(p0, at(p + x), p2));
    v128.store(m + 2 * x, l1(dx, dy));
    v128.store(gx + 2 * x, dx);
    v128.store(gy + 2 * x, dy);
  }
  endRow(m);
}

export function sobel3(above: usize, y: usize, below: usize): void {
  const m = magnitude(y), gx = gradientX(y), gy = gx + rowBytes;
  const pr = plane(above, 0), cr = plane(y, 0), nr = plane(below, 0);
  const pg = plane(above, 1), cg = plane(y, 1), ng = plane(below, 1);
  const pb = plane(above, 2), cb = plane(y, 2), nb = plane(below, 2);
  for (let x: usize = 0; x < width; x += 8) {
    let p0 = at(pr + x - 1), p2 = at(pr + x + 1), n0 = at(nr + x - 1), n2 = at(nr + x + 1);
    let dx = i16x8.sub(smooth(p2, at(cr + x + 1), n2), smooth(p0, at(cr + x - 1), n0));
    let dy = i16x8.sub(smooth(n0, at(nr + x), n2), smooth(p0, at(pr + x), p2));
    let best = l1(dx, dy);

    p0 = at(pg + x - 1), p2 = at(pg + x + 1), n0 = at(ng + x - 1), n2 = at(ng + x + 1);
    let dx2 = i16x8.sub(smooth(p2, at(cg + x + 1), n2), smooth(p0, at(cg + x - 1), n0));
    let dy2 = i16x8.sub(smooth(n0, at(ng + x), n2), smooth(p0, at(pg + x), p2));
    let other = l1(dx2, dy2);
    // Only a larger magnitude wins: on a tie the first channel stays.
    let larger = i16x8.gt_s(other, best);
    dx = v128.bitselect(dx2, dx, larger);
    dy = v128.bitselect(dy2, dy, larger);
    best = i16x8.max_s(best, other);

    p0 = at(pb + x - 1), p2 = at(pb + x + 1), n0 = at(nb + x - 1), n2 = at(nb + x + 1);
    dx2 = i16x8.sub(smooth(p2, at(cb + x + 1), n2), smooth(p0, at(cb + x - 1), n0));
    dy2 = i16x8.sub(smooth(n0, at(nb + x), n2), smooth(p0, at(pb + x), p2));
    other = l1(dx2, dy2);
    larger = i16x8.gt_s(other, best);
    v128.store(gx + 2 * x, v128.bitselect(dx2, dx, larger));
    v128.store(gy + 2 * x, v128.bitselect(dy2, dy, larger));
    v128.store(m + 2 * x, i16x8.max_s(best, other));
  }
  endRow(m);
}
