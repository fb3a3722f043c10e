/**
 * Canny's edge detector in AssemblyScript with 128-bit SIMD, bit for bit as `cv2.Canny` (aperture 3, L1 norm). Rows
 * are fed in strips; each row runs through channel planes, Sobel, the channel of the largest magnitude and non-maximum
 * suppression in buffers a few rows high, so that only the edge map (a byte a pixel) is as large as the picture.
 *
 * Call `begin` once, write rows to the pointer it gives and call `feed` with their count until all rows are in, then
 * read width x height bytes (0 or 255) at the pointer that `finish` gives. No allocator, no imports: memory from
 * `__heap_base` on is laid out by `begin`.
 */

/** Values of the edge map. Bit 0 marks a weak pixel, bit 7 a strong one. */
const WEAK: u8 = 1;
const STRONG: u8 = 0x80;
/** tan(22.5 deg) in 15 bits, as OpenCV rounds it. tan(67.5 deg) is exactly 2 more. */
const TG22: i16 = 13573;
/** Slack before and after a row, so that vector reads and writes past its ends stay in its own buffer. */
const PAD: usize = 64;

let width: usize = 0;
let height: usize = 0;
let channels: usize = 0;
let low: i16 = 0;
let high: i16 = 0;

/** Rows are numbered from 0; a row y lives in slot y % 3 (planes, magnitudes) or y & 1 (gradients). */
let planes: usize = 0;
let planeBytes: usize = 0;
let magnitudes: usize = 0;
let gradients: usize = 0;
let rowBytes: usize = 0;
let strip: usize = 0;
/** Edge map with a stride of width + 1: the one zero byte between rows keeps neighbours from wrapping around. */
let map: usize = 0;
let stride: usize = 0;
let stack: usize = 0;
let stackEnd: usize = 0;
let fed: usize = 0;
/** Set when the stack had no room for a pixel, whose neighbours are then found by another scan. */
let spilled: bool = false;

// @ts-expect-error: decorator
@inline function plane(y: usize, channel: usize): usize {
  return planes + ((y % 3) * channels + channel) * planeBytes;
}

// @ts-expect-error: decorator
@inline function magnitude(y: usize): usize {
  return magnitudes + (y % 3) * rowBytes;
}

// @ts-expect-error: decorator
@inline function gradientX(y: usize): usize {
  return gradients + (y & 1) * 2 * rowBytes;
}

/**
 * Lays memory out for a picture, growing it where needed, and gives the pointer where strips of up to `stripRows` rows
 * are to be written; 0 when memory can't grow that far. The thresholds are whole and from 0 up, `stackBytes` a multiple
 * of 4.
 */
export function begin(
  w: u32, h: u32, c: u32, lowThreshold: i32, highThreshold: i32, stripRows: u32, stackBytes: u32,
): usize {
  // Past this the sizes of the row buffers would wrap around.
  if (w > 1 << 26) return 0;
  width = w;
  height = h;
  channels = c;
  low = <i16>lowThreshold;
  high = <i16>highThreshold;
  fed = 0;

  const lanes: usize = (width + 15) & ~15;
  planeBytes = lanes + 2 * PAD;
  rowBytes = 2 * lanes + 2 * PAD;
  stride = width + 1;
  planes = ((__heap_base + 63) & ~63) + PAD;
  magnitudes = planes + 3 * channels * planeBytes;
  // A fourth row of magnitudes stays zero: the one above the picture and below it.
  gradients = magnitudes + 4 * rowBytes;
  stack = gradients + 4 * rowBytes;
  stackEnd = stack + stackBytes;
  strip = stackEnd + PAD;
  const mapStart: u64 = <u64>strip + <u64>stripRows * width * channels + PAD;
  map = <usize>mapStart + stride + PAD;
  const end: u64 = mapStart + <u64>stride * (<u64>height + 2) + 3 * PAD;
  const pages: u64 = (end + 0xffff) >> 16;
  if (pages > 65536) return 0;
  if (pages > <u64>memory.size() && memory.grow(<i32>(pages - memory.size())) < 0) return 0;

  memory.fill(magnitudes - PAD, 0, 4 * rowBytes);
  memory.fill(map - stride - PAD, 0, stride + PAD);
  memory.fill(map + stride * height, 0, stride + PAD);
  return strip;
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

/** Repeats a plane's first and last pixel to its left and right. */
// @ts-expect-error: decorator
@inline function replicate(row: usize): void {
  store<u8>(row - 1, load<u8>(row));
  store<u8>(row + width, load<u8>(row + width - 1));
}

function copyRow(from: usize, to: usize): void {
  for (let x: usize = 0; x < width; x += 16) v128.store(to + x, v128.load(from + x));
  replicate(to);
}

function deinterleave(from: usize, red: usize, green: usize, blue: usize): void {
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

// @ts-expect-error: decorator
@inline function at(row: usize): v128 {
  return v128.load_ext<u8>(row);
}

/** a + 2b + c. */
// @ts-expect-error: decorator
@inline function smooth(a: v128, b: v128, c: v128): v128 {
  return i16x8.add(i16x8.add(a, c), i16x8.shl(b, 1));
}

// @ts-expect-error: decorator
@inline function l1(dx: v128, dy: v128): v128 {
  return i16x8.add(i16x8.abs(dx), i16x8.abs(dy));
}

/** The magnitude past both ends of the row counts as 0. */
// @ts-expect-error: decorator
@inline function endRow(m: usize): void {
  const end = m + 2 * width;
  v128.store(end, i16x8.splat(0));
  v128.store(end, i16x8.splat(0), 16);
  v128.store(end, i16x8.splat(0), 32);
}

function sobel1(above: usize, y: usize, below: usize): void {
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

function sobel3(above: usize, y: usize, below: usize): void {
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

/** Lanes of row `m` at offset `x2` (2 bytes a pixel) that are above `low` and maxima along their gradient. */
// @ts-expect-error: decorator
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
function suppress(y: usize, below: usize): void {
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

/** Hysteresis, then the map packed to width x height bytes of 0 or 255, whose pointer it gives. */
export function finish(): usize {
  do {
    spilled = false;
    promote();
  } while (spilled);

  let from = map, to = map - stride - PAD;
  const edges = to;
  for (let y: usize = 0; y < height; y++, from += stride, to += width)
    for (let x: usize = 0; x < width; x += 16) v128.store(to + x, i8x16.lt_s(v128.load(from + x), i8x16.splat(0)));
  return edges;
}

/** Makes every weak pixel strong that touches a strong one, and follows the weak ones from there. */
function promote(): void {
  const end = map + stride * height;
  for (let at: usize = map; at < end; at += 16) {
    const weak = i8x16.shl(v128.load(at), 7);
    if (!v128.any_true(weak)) continue;
    const above = at - stride, below = at + stride;
    const near = v128.or(
      v128.or(
        v128.or(v128.load(above - 1), v128.load(above)),
        v128.or(v128.load(above, 1), v128.load(at - 1)),
      ),
      v128.or(
        v128.or(v128.load(at, 1), v128.load(below - 1)),
        v128.or(v128.load(below), v128.load(below, 1)),
      ),
    );
    let found: u32 = i8x16.bitmask(v128.and(weak, near));
    for (; found; found &= found - 1) {
      const pixel = at + ctz(found);
      if (load<u8>(pixel) == WEAK) follow(pixel);
    }
  }
}

/** Depth first from one weak pixel through its weak neighbours. */
function follow(first: usize): void {
  let top = stack;
  store<u8>(first, STRONG);
  store<u32>(top, <u32>first);
  top += 4;
  while (top > stack) {
    top -= 4;
    const pixel: usize = load<u32>(top);
    let row = pixel - stride - 1;
    for (let i = 0; i < 3; i++, row += stride) {
      // Three pixels at once; the fourth byte isn't a neighbour.
      if (!(load<u32>(row) & 0x00010101)) continue;
      for (let near = row; near < row + 3; near++) {
        if (load<u8>(near) != WEAK) continue;
        store<u8>(near, STRONG);
        if (top < stackEnd) {
          store<u32>(top, <u32>near);
          top += 4;
        } else spilled = true;
      }
    }
  }
}
