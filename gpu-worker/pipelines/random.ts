/**
 * Unit normal noise as torch's CPU generator draws it: `torch.randn(..., generator=torch.Generator().manual_seed(seed))`
 * in float32, which is what diffusers starts a picture from. The same seed gives the same noise on every machine, to the
 * last bits of float32.
 *
 * Source: torch `CPUGeneratorImpl` (MT19937, https://doi.org/10.1145/272991.272995), `uniform_real_distribution` and
 * `normal_fill` (Box-Muller on 16 numbers at a time).
 */
export class TorchGenerator {
  readonly #state = new Uint32Array(624);
  #next = 624;

  /** @param seed whole number; torch uses its lowest 32 bits. */
  constructor(seed: number) {
    this.#state[0] = seed % 2 ** 32;
    for (let i = 1; i < 624; i++) {
      const before = this.#state[i - 1]!;
      this.#state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  /**
   * Fills `out` with the next numbers.
   * @throws RangeError for fewer than 16, which torch draws in another way; no latents are so few.
   */
  randn(out: Float32Array): void {
    if (out.length < 16) throw new RangeError(`randn draws 16 numbers at the least, not ${out.length}`);
    for (let i = 0; i < out.length; i++) out[i] = this.#uniform();
    for (let i = 0; i + 16 <= out.length; i += 16) toNormal(out.subarray(i, i + 16));
    if (out.length % 16 === 0) return;
    // What is left over is drawn anew with the numbers before it.
    const last = out.subarray(-16);
    for (let i = 0; i < 16; i++) last[i] = this.#uniform();
    toNormal(last);
  }

  /** From 0 to 1, 24 bits. */
  #uniform(): number {
    return (this.#word() & 0xffffff) / 2 ** 24;
  }

  /** The next 32 random bits. */
  #word(): number {
    if (this.#next === 624) this.#twist();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return word ^ (word >>> 18);
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < 624; i++) {
      const joined = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
      state[i] = state[(i + 397) % 624]! ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

/** Box-Muller: 16 numbers, even from 0 to 1, become unit normal ones. */
function toNormal(numbers: Float32Array): void {
  for (let i = 0; i < 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - numbers[i]!));
    const angle = 2 * Math.PI * numbers[i + 8]!;
    numbers[i] = radius * Math.cos(angle);
    numbers[i + 8] = radius * Math.sin(angle);
  }
}

/** The first `count` numbers of a {@link TorchGenerator}. */
export function gaussianNoise(seed: number, count: number): Float32Array {
  const noise = new Float32Array(count);
  new TorchGenerator(seed).randn(noise);
  return noise;
}
