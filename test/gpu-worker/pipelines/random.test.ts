import { describe, expect, it } from "vitest";
import { gaussianNoise, TorchGenerator } from "#gpu-worker/pipelines/random.ts";
import { maxDifference } from "../model.ts";

describe("TorchGenerator", () => {
  // torch 2.15: torch.randn(n, generator=torch.Generator().manual_seed(seed)), one call after the other.
  it("draws torch's numbers, from one call to the next and where 16 don't go into them", () => {
    const generator = new TorchGenerator(42);
    const [first, second] = [new Float32Array(20), new Float32Array(700)];
    generator.randn(first);
    generator.randn(second);
    expect(
      maxDifference(first.subarray(0, 3), [1.9269152879714966, 1.4872840642929077, 0.9007171988487244]),
    ).toBeLessThan(1e-6);
    expect(
      maxDifference(first.subarray(17), [-0.3957104980945587, 0.8034093379974365, -0.6215953826904297]),
    ).toBeLessThan(1e-6);
    expect(
      maxDifference(second.subarray(697), [-0.9857985377311707, -1.2370758056640625, -2.301875114440918]),
    ).toBeLessThan(1e-6);
  });

  it("looks at the lowest 32 bits of a seed, as torch does", () => {
    expect(
      maxDifference(gaussianNoise(2 ** 33 + 5, 16).subarray(0, 2), [1.8423298597335815, 0.5188871622085571]),
    ).toBeLessThan(1e-6);
    expect(gaussianNoise(5, 16)).toEqual(gaussianNoise(2 ** 33 + 5, 16));
  });

  it("refuses fewer than torch draws in this way", () => {
    expect(() => gaussianNoise(1, 15)).toThrow(RangeError);
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

  it("is another for another seed", () => {
    expect(gaussianNoise(5, 64)).toEqual(gaussianNoise(5, 64));
    expect(gaussianNoise(5, 64)).not.toEqual(gaussianNoise(6, 64));
  });
});
