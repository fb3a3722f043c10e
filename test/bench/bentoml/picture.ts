import sharp from "sharp";

/** A PNG with the edges, shades and grain of a photo: 1.2 MB at a side of 1024 pixels. The same bytes every time. */
export function picture(side: number): Promise<Buffer> {
  const random = numbers(7);
  const discs = Array.from({ length: 60 }, () => ({
    x: random() * side,
    y: random() * side,
    radius: (0.02 + random() * 0.12) * side,
    colour: [random() * 255, random() * 255, random() * 255],
  }));
  const pixels = new Uint8Array(side * side * 3);
  for (let y = 0, at = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const disc = discs.findLast((d) => (x - d.x) ** 2 + (y - d.y) ** 2 < d.radius ** 2);
      const shade = 0.7 + (0.3 * (x + y)) / (2 * side);
      for (let channel = 0; channel < 3; channel++, at++)
        pixels[at] = Math.min(255, (disc?.colour[channel] ?? 120) * shade + random() * GRAIN);
    }
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

/** Levels that a channel varies by from pixel to pixel; sets how well the picture compresses. */
const GRAIN = 2.6;

/** Numbers from 0 to 1 that look random (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
