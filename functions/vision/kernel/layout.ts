/** The picture at hand, and where its rows lie in memory. */

/** Values of the edge map. Bit 0 marks a weak pixel, bit 7 a strong one. */
export const WEAK: u8 = 1;
export const STRONG: u8 = 0x80;
/** Slack before and after a row, so that vector reads and writes past its ends stay in its own buffer. */
export const PAD: usize = 64;

export let width: usize = 0;
export let height: usize = 0;
export let channels: usize = 0;
export let low: i16 = 0;
export let high: i16 = 0;

/** Rows are numbered from 0; a row y lives in slot y % 3 (planes, magnitudes) or y & 1 (gradients). */
export let planes: usize = 0;
export let planeBytes: usize = 0;
export let magnitudes: usize = 0;
export let gradients: usize = 0;
export let rowBytes: usize = 0;
export let strip: usize = 0;
/** Edge map with a stride of width + 1: the one zero byte between rows keeps neighbours from wrapping around. */
export let map: usize = 0;
export let stride: usize = 0;
export let stack: usize = 0;
export let stackEnd: usize = 0;

@inline export function plane(y: usize, channel: usize): usize {
  return planes + ((y % 3) * channels + channel) * planeBytes;
}

@inline export function magnitude(y: usize): usize {
  return magnitudes + (y % 3) * rowBytes;
}

@inline export function gradientX(y: usize): usize {
  return gradients + (y & 1) * 2 * rowBytes;
}

/**
 * Lays memory out for a picture, growing it where needed, and gives the pointer of the strip, which holds
 * `stripRows` rows; 0 when memory can't grow that far.
 */
export function layOut(
  w: u32, h: u32, c: u32, lowThreshold: i32, highThreshold: i32, stripRows: u32, stackBytes: u32,
): usize {
  // Past this the sizes of the row buffers would wrap around.
  if (w > 1 << 26) return 0;
  width = w;
  height = h;
  channels = c;
  low = <i16>lowThreshold;
  high = <i16>highThreshold;

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
