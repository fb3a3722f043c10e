import { type Batching, runBytes } from "./batching.ts";

/** What is known of runs of one size, above the model's own. */
interface Measured {
  /** Of the largest run. */
  readonly rows: number;
  /** Bytes of a row, at most. */
  readonly rowBytes: number;
}

/**
 * What runs and decodings take, in bytes. Up to the model's own size a row is as {@link Batching} has it. Above, it is
 * an estimate until a size is run: onnxruntime keeps what a run has had, so that a larger one takes at most that and what
 * the process, or the GPU's use, grows by.
 */
export class RunMemory {
  readonly #batching: Batching;
  readonly #used: () => Promise<number | undefined>;
  /** What onnxruntime has had for the largest run so far, at least. */
  #had: number;
  /** By pixels. */
  readonly #measured = new Map<number, Measured>();

  /** @param used bytes that are used now, of the process or the GPU; undefined where nobody tells. */
  constructor(batching: Batching, used: () => Promise<number | undefined>) {
    this.#batching = batching;
    this.#used = used;
    this.#had = batching.seenRows * batching.rowBytes;
  }

  /** Bytes of a run's rows of so many pixels each. */
  ofRun(rows: number, pixels: number): number {
    const measured = this.#measured.get(pixels);
    return measured ? rows * measured.rowBytes : runBytes(this.#batching, rows, pixels);
  }

  /** Bytes of decoding so many pixels at once: what the model's own size takes is there since the start. */
  ofDecoding(pixels: number): number {
    return pixels > this.#batching.nativePixels ? pixels * this.#batching.decodePixelBytes : 0;
  }

  /** Runs rows of a size, and measures them where so many of that size were not run before. */
  async measure<T>(rows: number, pixels: number, run: () => Promise<T>): Promise<T> {
    const known = this.#measured.get(pixels);
    if (pixels <= this.#batching.nativePixels || rows <= (known?.rows ?? 0)) return run();
    const before = await this.#used();
    const result = await run();
    const after = await this.#used();
    const believed = this.ofRun(1, pixels);
    if (before === undefined || after === undefined) this.#measured.set(pixels, { rows, rowBytes: believed });
    else {
      const grown = Math.max(0, after - before);
      const rowBytes = Math.max(grown / rows, Math.min(believed, (this.#had + grown) / rows));
      this.#measured.set(pixels, { rows, rowBytes });
      this.#had = Math.max(this.#had, rows * rowBytes);
    }
    return result;
  }
}
