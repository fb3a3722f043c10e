import { NDArray } from "#shared/codec/ndarray.ts";

/** One pattern's value at a channel of a pixel; i is the byte's index. As in test/golden/canny/make.py. */
type Pattern = (x: number, y: number, c: number, seed: number, i: number) => number;

function mix(n: number): number {
  let m = Math.imul(n ^ (n >>> 16), 0x45d9f3b);
  m = Math.imul(m ^ (m >>> 16), 0x45d9f3b);
  return (m ^ (m >>> 16)) >>> 0;
}

function triangle(value: number): number {
  const v = value & 511;
  return v > 255 ? 511 - v : v;
}

function lattice(x: number, y: number, c: number, seed: number): number {
  const n = Math.imul(x, 0x1f123bb5) + Math.imul(y, 0x5f356495) + Math.imul(c, 0x2545f491);
  return mix((n + Math.imul(seed, 0x9e3779b1)) | 0) >>> 24;
}

const OCTAVES = [
  [64, 96],
  [32, 64],
  [16, 48],
  [8, 28],
  [4, 12],
  [2, 8],
] as const;

function texture(x: number, y: number, c: number, seed: number): number {
  let total = 0;
  for (const [octave, [size, weight]] of OCTAVES.entries()) {
    const ix = Math.floor(x / size);
    const iy = Math.floor(y / size);
    const fx = x % size;
    const fy = y % size;
    const own = c * (octave & 1);
    const at = (dx: number, dy: number) => lattice(ix + dx, iy + dy, own, seed + octave);
    const top = at(0, 0) * (size - fx) + at(1, 0) * fx;
    const low = at(0, 1) * (size - fx) + at(1, 1) * fx;
    total += Math.floor(((top * (size - fy) + low * fy) * weight) / (size * size));
  }
  const dx = (x % 96) - 48;
  const dy = (y % 80) - 40;
  const disc = dx * dx + dy * dy < 700 + 40 * c ? 50 : 0;
  return Math.max(0, Math.min(255, (total >> 8) + disc - 10));
}

export const PATTERNS = {
  noise: (_x, _y, _c, seed, i) => mix((i + Math.imul(seed, 0x9e3779b1)) | 0) >>> 24,
  levels: (_x, _y, _c, seed, i) => (mix((i + Math.imul(seed, 0x9e3779b1)) | 0) >>> 30) * 85,
  rings: (x, y, c, seed) => triangle((x * x * 3 + y * y * 2 + x * y + seed * 31 + c * 90) >> 4),
  waves: (x, y, c, seed) =>
    Math.floor(triangle((x * (5 + (seed % 7)) + y * (3 + (seed % 11))) * (4 - c)) / (1 + (seed % 3))),
  ties: (x, y, c, seed) => {
    const step = seed % 40;
    return triangle(c === 0 ? x * step : c === 1 ? y * step : Math.floor(((x + y) * step) / 2));
  },
  texture: (x, y, c, seed) => texture(x, y, c, seed),
  flat: (_x, _y, _c, seed) => seed % 256,
} satisfies Record<string, Pattern>;

export type PatternName = keyof typeof PATTERNS;

/** A picture made by formula: shape [height, width, 3], or [height, width] for one channel. */
export function picture(
  kind: PatternName,
  width: number,
  height: number,
  channels: number,
  seed: number,
): NDArray<"uint8"> {
  const pattern: Pattern = PATTERNS[kind];
  const data = new Uint8Array(width * height * channels);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++, i++) data[i] = pattern(x, y, c, seed, i);
  return new NDArray("uint8", channels === 1 ? [height, width] : [height, width, channels], data);
}

/** Uniform whole numbers below n, the same ones for the same seed (mulberry32). */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((((t ^ (t >>> 14)) >>> 0) * n) / 2 ** 32) | 0;
  };
}
