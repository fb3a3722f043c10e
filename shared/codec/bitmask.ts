import { ServiceError } from "../errors/service-error.ts";

/** Bytes of a packed row of `width` pixels. */
export function packedRowBytes(width: number): number {
  return Math.ceil(width / 8);
}

/**
 * Packs one byte a pixel to one bit a pixel: set where the byte is not 0, first pixel in the highest bit, each row
 * padded with zero bits to a byte. That is `numpy.packbits(pixels != 0, axis=1)`, and a row of a 1-bit PNG.
 *
 * @param pixels height x width bytes, C order.
 * @returns height x ceil(width / 8) bytes, a new array.
 * @throws ServiceError INVALID_ARGUMENT when `pixels` does not hold width x height bytes.
 */
export function packBits(pixels: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  checkLength("pixels", pixels.length, width * height, width, height);
  const rowBytes = packedRowBytes(width);
  const packed = new Uint8Array(rowBytes * height);
  const words = new DataView(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const whole = width >>> 3;
  let from = 0;
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < whole; i++, from += 8, to++) {
      const first = words.getUint32(from, true);
      const second = words.getUint32(from + 4, true);
      // Most of an edge map is empty, and a process's first call is interpreted.
      if ((first | second) !== 0) packed[to] = (fourBits(first) << 4) | fourBits(second);
    }
    const rest = width & 7;
    if (rest > 0) {
      let bits = 0;
      for (let i = 0; i < rest; i++) if (pixels[from++] !== 0) bits |= 0x80 >> i;
      packed[to++] = bits;
    }
  }
  return packed;
}

/**
 * The opposite of {@link packBits}: 255 for a set bit, 0 for a clear one, each value `channels` times in a row, so that
 * a mask comes back as a picture of shape [height, width, channels]. Padding bits are ignored.
 *
 * @param packed height x ceil(width / 8) bytes.
 * @returns height x width x channels bytes, a new array.
 * @throws ServiceError INVALID_ARGUMENT when `packed` has another length or the sizes are not whole numbers or
 * channels is neither 1 nor 3.
 */
export function unpackBits(
  packed: Uint8Array,
  width: number,
  height: number,
  channels: number,
): Uint8Array<ArrayBuffer> {
  checkLength("packed", packed.length, packedRowBytes(width) * height, width, height);
  if (channels !== 1 && channels !== 3)
    throw new ServiceError("INVALID_ARGUMENT", `channels must be 1 or 3, not ${channels}`);
  const pixels = new Uint8Array(width * height * channels);
  const rowBytes = packedRowBytes(width);
  // A row is made in whole words, padding included, and copied without it.
  const words = new Uint32Array(rowBytes * 2 * channels);
  const row = new Uint8Array(words.buffer, 0, width * channels);
  for (let y = 0; y < height; y++) {
    const bits = packed.subarray(y * rowBytes, (y + 1) * rowBytes);
    if (channels === 1) spreadGray(bits, words);
    else spreadColour(bits, words);
    pixels.set(row, y * row.length);
  }
  return pixels;
}

/** Four pixels (the first in the lowest byte) to four bits (the first in the highest), 1 where the byte is not 0. */
function fourBits(pixels: number): number {
  const nonZero = ((pixels | ((pixels & 0x7f7f7f7f) + 0x7f7f7f7f)) >>> 7) & 0x01010101;
  // Each of the four ones is moved to its own bit of 24..27; no two partial products share a bit.
  return (Math.imul(nonZero, 0x08040201) >>> 24) & 15;
}

/** For each four bits their four pixels of `channels` bytes, as words in the machine's own byte order. */
function spreadTable(channels: number): Uint32Array {
  const bytes = new Uint8Array(16 * 4 * channels);
  for (let at = 0; at < bytes.length; at++) {
    const pixel = Math.floor(at / channels);
    if ((pixel >> 2) & (8 >> (pixel & 3))) bytes[at] = 255;
  }
  return new Uint32Array(bytes.buffer);
}

const GRAY = spreadTable(1);
const COLOUR = spreadTable(3);

function spreadGray(bits: Uint8Array, words: Uint32Array): void {
  for (let i = 0, to = 0; i < bits.length; i++, to += 2) {
    const byte = bits[i]!;
    words[to] = GRAY[byte >> 4]!;
    words[to + 1] = GRAY[byte & 15]!;
  }
}

function spreadColour(bits: Uint8Array, words: Uint32Array): void {
  for (let i = 0, to = 0; i < bits.length; i++, to += 6) {
    const first = 3 * (bits[i]! >> 4);
    const second = 3 * (bits[i]! & 15);
    words[to] = COLOUR[first]!;
    words[to + 1] = COLOUR[first + 1]!;
    words[to + 2] = COLOUR[first + 2]!;
    words[to + 3] = COLOUR[second]!;
    words[to + 4] = COLOUR[second + 1]!;
    words[to + 5] = COLOUR[second + 2]!;
  }
}

function checkLength(name: string, length: number, expected: number, width: number, height: number): void {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 0 || height < 0)
    throw new ServiceError("INVALID_ARGUMENT", `width and height must be whole numbers, not ${width} and ${height}`);
  if (length !== expected)
    throw new ServiceError("INVALID_ARGUMENT", `${name} has ${length} bytes; ${width} x ${height} needs ${expected}`);
}
