import { setImmediate as nextTurn } from "node:timers/promises";
import type { CheckedParams, GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import { heldBytes } from "../pipelines/noise-graph.ts";
import type { PictureCall, SDXLControlNetPipeline } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { StepBatch } from "../pipelines/step-batch.ts";
import { type Batching, runBytes } from "./batching.ts";
import { type Turn, Turns } from "./turns.ts";

/** A step that a call has done, counted from 1. */
export interface StepDone {
  id: number;
  step: number;
  total: number;
}

/** Hears what becomes of the calls. A call that was canceled is not spoken of any more. */
export interface LoopEvents {
  /** The calls that shared a run. */
  stepped(steps: StepDone[], timings: StepTimings): void;
  done(id: number, result: GeneratedImages): void;
  failed(id: number, error: unknown): void;
  /** A shared run failed. Its calls go on alone, and from now on so many share a run at most. */
  narrowed(calls: number, error: unknown): void;
}

/** Calls that are between two of their steps at most: others wait until one has ended. */
const MOST_BEGUN = 16;

/** A call from its coming to its end. */
class Picture implements Turn {
  readonly id: number;
  readonly params: CheckedParams;
  readonly rows: number;
  readonly pixels: number;
  /** Those of one size may share a run: their texts are as long as the model has them all. */
  readonly size: string;
  /** Undefined before its first turn. */
  call: PictureCall | undefined;
  canceled = false;

  constructor(id: number, params: CheckedParams) {
    this.id = id;
    this.params = params;
    this.rows = params.pictures * (params.guided ? 2 : 1);
    this.pixels = params.height * params.width;
    this.size = `${params.width}x${params.height}`;
  }

  get cost(): number {
    return this.rows * this.pixels;
  }

  get remaining(): number {
    return this.cost * (this.params.numInferenceSteps - (this.call?.denoising.step ?? 0));
  }
}

/**
 * Draws the pictures of many calls, a run of the graph after the other: {@link Turns} says whose, and calls of its size
 * share it as far as {@link Batching} allows. Calls come and go between two runs. One begins, which is when it takes
 * memory, with its first turn; where memory is short, the others wait in order.
 */
export class PictureLoop {
  readonly #pipeline: SDXLControlNetPipeline;
  readonly #batching: Batching;
  readonly #events: LoopEvents;
  readonly #stopped: () => boolean;
  /** In the order of their coming. */
  readonly #pictures: Picture[] = [];
  readonly #turns = new Turns<Picture>();
  /** The last run of each size, to be gone on with by the same calls. */
  readonly #batches = new Map<string, StepBatch>();
  /** Calls that share a run at most. */
  #most: number;
  #running: Promise<void> | undefined;

  /** @param stopped asked between two runs: true ends the loop, and nobody is told. */
  constructor(pipeline: SDXLControlNetPipeline, batching: Batching, events: LoopEvents, stopped: () => boolean) {
    this.#pipeline = pipeline;
    this.#batching = batching;
    this.#events = events;
    this.#stopped = stopped;
    this.#most = batching.calls;
  }

  /** Takes a call; wrong parameters are told at once. */
  add(id: number, params: GenerateParams): void {
    try {
      this.#pictures.push(new Picture(id, this.#pipeline.check(params)));
    } catch (error) {
      this.#events.failed(id, error);
    }
  }

  /** Has a call take no further step. */
  cancel(id: number): void {
    const picture = this.#pictures.find((one) => one.id === id);
    if (!picture) return;
    picture.canceled = true;
    this.#leave(picture);
  }

  /** Draws until there is nothing left to draw. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#drawAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #drawAll(): Promise<void> {
    while (this.#pictures.length > 0 && !this.#stopped()) {
      const leader = this.#turns.next(this.#mayStep());
      const taking = await this.#begin(this.#together(leader));
      if (taking.length > 0) await this.#step(taking);
      for (const picture of taking) if (picture.call!.denoising.done) await this.#decode(picture);
      // Messages: calls that came, and cancels.
      await nextTurn();
    }
  }

  /** Calls that have begun or may begin. The first that may not is waited for by those after it. */
  #mayStep(): Picture[] {
    let full = false;
    return this.#pictures.filter((picture) => {
      if (picture.call) return true;
      full ||= !this.#mayBegin(picture);
      return !full;
    });
  }

  #mayBegin(picture: Picture): boolean {
    const begun = this.#pictures.filter(({ call }) => call);
    return begun.length === 0 || (begun.length < MOST_BEGUN && this.#fits([picture]));
  }

  /** Whether a run of these has room beside what all begun calls hold. */
  #fits(pictures: readonly Picture[]): boolean {
    const held = this.#pictures.reduce((sum, { call }) => sum + (call ? heldBytes(call.inputs) : 0), 0);
    const run = pictures.reduce((sum, { rows, pixels }) => sum + runBytes(this.#batching, rows, pixels), 0);
    return held + run <= this.#batching.memoryBytes;
  }

  /** The calls that share a run with this one, in the order of their coming. */
  #together(leader: Picture): Picture[] {
    const taking = [leader];
    for (const picture of this.#mayStep()) {
      if (taking.length >= this.#most) break;
      if (picture !== leader && picture.size === leader.size && this.#fits([...taking, picture])) taking.push(picture);
    }
    return taking.toSorted((a, b) => a.id - b.id);
  }

  /** Prepares those of them that take their first step; gives those that can take one. */
  async #begin(pictures: readonly Picture[]): Promise<Picture[]> {
    for (const picture of pictures) {
      if (picture.call || picture.canceled || !this.#mayBegin(picture)) continue;
      try {
        picture.call = await this.#pipeline.prepare(picture.params);
      } catch (error) {
        this.#fail(picture, error);
      }
    }
    return pictures.filter(({ call, canceled }) => call && !canceled);
  }

  /** The next step of all of them in one run; where that fails, in runs of their own. */
  async #step(pictures: readonly Picture[]): Promise<void> {
    try {
      await this.#run(pictures);
    } catch (error) {
      this.#batches.delete(pictures[0]!.size);
      if (pictures.length === 1) {
        this.#fail(pictures[0]!, error);
        return;
      }
      this.#most = Math.max(1, pictures.length >> 1);
      this.#events.narrowed(this.#most, error);
      for (const picture of pictures) await this.#run([picture]).catch((alone: unknown) => this.#fail(picture, alone));
    }
    this.#turns.took(pictures);
  }

  async #run(pictures: readonly Picture[]): Promise<void> {
    const timings = await this.#batchOf(pictures).step();
    const steps = pictures
      .filter(({ canceled }) => !canceled)
      .map(({ id, call }) => ({ id, step: call!.denoising.step, total: call!.denoising.totalSteps }));
    this.#events.stepped(steps, timings);
  }

  #batchOf(pictures: readonly Picture[]): StepBatch {
    const { size } = pictures[0]!;
    const last = this.#batches.get(size);
    if (last?.calls.length === pictures.length && last.calls.every((call, i) => call === pictures[i]!.call))
      return last;
    const batch = this.#pipeline.batch(pictures.map(({ call }) => call!));
    this.#batches.set(size, batch);
    return batch;
  }

  async #decode(picture: Picture): Promise<void> {
    if (picture.canceled || this.#stopped()) return;
    // A call that has its picture decoded leaves room for the next one's steps.
    this.#leave(picture);
    try {
      const result = await this.#pipeline.decode(picture.call!);
      if (!picture.canceled) this.#events.done(picture.id, result);
    } catch (error) {
      this.#fail(picture, error);
    }
  }

  #fail(picture: Picture, error: unknown): void {
    this.#leave(picture);
    if (!picture.canceled) this.#events.failed(picture.id, error);
  }

  #leave(picture: Picture): void {
    const at = this.#pictures.indexOf(picture);
    if (at >= 0) this.#pictures.splice(at, 1);
    this.#batches.delete(picture.size);
    this.#turns.left(picture);
  }
}
