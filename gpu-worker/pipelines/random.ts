/**
 * Standard normal noise that depends on `seed` alone: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011) for the bits, Box-Muller for the bell. The same seed gives the same noise on every machine.
 * It isn't the noise that torch or numpy draw from that seed.
 *
 * @param seed whole number from 0 to 2^53 - 1
 * @param count how many numbers
 */
export function gaussianNoise(seed: number, count: number): Float32Array {
  const noise = new Float32Array(count);
  const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)] as const;
  for (let i = 0, block = 0; i < count; block++) {
    const [a, b, c, d] = philox4x32([block, 0, 0, 0], key);
    for (const [first, second] of [
      [a, b],
      [c, d],
    ] as const) {
      // (n + 0.5) / 2^32 is never 0, so the logarithm is finite.
      const radius = Math.sqrt(-2 * Math.log((first + 0.5) / 2 ** 32));
      const angle = (2 * Math.PI * second) / 2 ** 32;
      if (i < count) noise[i++] = radius * Math.cos(angle);
      if (i < count) noise[i++] = radius * Math.sin(angle);
    }
  }
  return noise;
}

type Words4 = readonly [number, number, number, number];

/** Ten rounds of Philox4x32: four random 32-bit words for a counter under a key. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [highA, lowA] = multiply(0xd2511f53, a);
    const [highC, lowC] = multiply(0xcd9e8d57, c);
    [a, b, c, d] = [(highC ^ b ^ k0) >>> 0, lowC, (highA ^ d ^ k1) >>> 0, lowA];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** High and low word of the product of two 32-bit words. */
function multiply(a: number, b: number): readonly [number, number] {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const cross = aHigh * (b & 0xffff) + ((aLow * (b & 0xffff)) >>> 16);
  const middle = aLow * (b >>> 16) + (cross % 0x10000);
  const high = aHigh * (b >>> 16) + Math.floor(cross / 0x10000) + Math.floor(middle / 0x10000);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}
