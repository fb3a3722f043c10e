import { PAD, STRONG, WEAK, height, map, stack, stackEnd, stride, width } from "./layout";

/** Set when the stack had no room for a pixel, whose neighbours are then found by another scan. */
let spilled: bool = false;

/** Hysteresis, then the map packed to width x height bytes of 0 or 255, whose pointer it gives. */
export function hysteresis(): usize {
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
