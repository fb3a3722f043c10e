import type { CheckedParams } from "../pipelines/generate-params.ts";
import { heldBytes } from "../pipelines/noise-graph.ts";
import type { PictureCall } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { RunMemory } from "./run-memory.ts";
import type { Turn } from "./turns.ts";

/** Calls that are between two of their steps at most: others wait until one has ended. */
const MOST_BEGUN = 16;

/** A call from its coming to its end. */
export class Picture implements Turn {
  readonly id: number;
  readonly params: CheckedParams;
  readonly rows: number;
  readonly pixels: number;
  /** Those of one size may share a run: their texts are as long as the model has them all. */
  readonly size: string;
  /** Pixels that are decoded at once when it is done. */
  readonly decoded: number;
  /** Undefined before its first turn. */
  call: PictureCall | undefined;
  /** There was no room when it could have begun. */
  waited = false;
  canceled = false;

  constructor(id: number, params: CheckedParams, decoded: number) {
    this.id = id;
    this.params = params;
    this.rows = params.pictures * (params.guided ? 2 : 1);
    this.pixels = params.height * params.width;
    this.decoded = decoded;
    this.size = `${params.width}x${params.height}`;
  }

  get cost(): number {
    return this.rows * this.pixels;
  }

  get remaining(): number {
    return this.cost * (this.params.numInferenceSteps - (this.call?.denoising.step ?? 0));
  }
}

/** What begun calls come to. */
interface Begun {
  readonly count: number;
  readonly bytes: number;
  /** Most pixels that one of them has decoded at once. */
  readonly decoded: number;
}

/** The calls that a loop has, in the order of their coming, and which of them memory has room for. */
export class Pictures {
  readonly #memory: RunMemory;
  readonly #bytes: number;
  readonly #all: Picture[] = [];

  /** @param bytes for runs, for what begun calls hold, and for decoding. */
  constructor(memory: RunMemory, bytes: number) {
    this.#memory = memory;
    this.#bytes = bytes;
  }

  get count(): number {
    return this.#all.length;
  }

  add(picture: Picture): void {
    this.#all.push(picture);
  }

  find(id: number): Picture | undefined {
    return this.#all.find((one) => one.id === id);
  }

  remove(picture: Picture): void {
    const at = this.#all.indexOf(picture);
    if (at >= 0) this.#all.splice(at, 1);
  }

  /** Calls that have begun or may begin. No later one begins before one that had to wait for room. */
  mayStep(): Picture[] {
    const begun = this.#begun();
    let full = false;
    return this.#all.filter((picture) => {
      if (picture.call) return true;
      if (full) return false;
      picture.waited ||= begun.count >= MOST_BEGUN || !this.#hasRoom(begun, [picture]);
      full = picture.waited;
      return this.mayBegin(picture, begun);
    });
  }

  /** The only one always may. */
  mayBegin(picture: Picture, begun: Begun = this.#begun()): boolean {
    return begun.count === 0 || (begun.count < MOST_BEGUN && this.#hasRoom(begun, [picture]));
  }

  /** The calls, `most` at most, that share a run with this one, in the order of their coming. */
  together(leader: Picture, most: number): Picture[] {
    const taking = [leader];
    const begun = this.#begun();
    for (const picture of this.mayStep()) {
      if (taking.length >= most) break;
      if (picture !== leader && picture.size === leader.size && this.#hasRoom(begun, [...taking, picture]))
        taking.push(picture);
    }
    return taking.toSorted((a, b) => a.id - b.id);
  }

  #begun(): Begun {
    const begun = this.#all.filter(({ call }) => call);
    return {
      count: begun.length,
      bytes: begun.reduce((sum, { call }) => sum + heldBytes(call!.inputs), 0),
      decoded: Math.max(0, ...begun.map(({ decoded }) => decoded)),
    };
  }

  /** Whether a run of these has room beside what all begun calls hold, and what decoding the largest of all takes. */
  #hasRoom(begun: Begun, pictures: readonly Picture[]): boolean {
    const run = pictures.reduce((sum, { rows, pixels }) => sum + this.#memory.ofRun(rows, pixels), 0);
    const decoded = Math.max(begun.decoded, ...pictures.map((picture) => picture.decoded));
    return begun.bytes + run + this.#memory.ofDecoding(decoded) <= this.#bytes;
  }
}
