import { describe, expect, it } from "vitest";
import { gaussianNoise, philox4x32 } from "#gpu-worker/pipelines/random.ts";

describe("philox4x32", () => {
  // kat_vectors of Random123, the authors' library.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("gives the published words for counter %s, key %s", (counter, key, words) => {
    expect(philox4x32(counter, key)).toEqual(words);
  });
});

describe("gaussianNoise", () => {
  it("has the mean, spread and tails of a unit normal", () => {
    const noise = gaussianNoise(1, 200_000);
    const mean = (of: (value: number) => number): number => noise.reduce((sum, v) => sum + of(v), 0) / noise.length;
    expect(Math.abs(mean((v) => v))).toBeLessThan(0.01);
    expect(Math.abs(mean((v) => v * v) - 1)).toBeLessThan(0.01);
    expect(Math.abs(mean((v) => v ** 4) - 3)).toBeLessThan(0.06);
    expect(mean((v) => (Math.abs(v) > 1.96 ? 1 : 0))).toBeCloseTo(0.05, 2);
  });

  it("is the same for a seed whatever the count, and another for another seed", () => {
    expect(gaussianNoise(5, 10)).toEqual(gaussianNoise(5, 64).subarray(0, 10));
    expect(gaussianNoise(5, 8)).not.toEqual(gaussianNoise(6, 8));
    expect(gaussianNoise(0, 8)).not.toEqual(gaussianNoise(2 ** 32, 8));
    expect(gaussianNoise(3, 7)).toHaveLength(7);
  });

  it("stays as it is from release to release", () => {
    expect(Array.from(gaussianNoise(42, 4))).toEqual(PINNED);
  });
});

const PINNED = [-0.9701898097991943, 0.19401895999908447, -1.2356207370758057, 1.9239267110824585];
