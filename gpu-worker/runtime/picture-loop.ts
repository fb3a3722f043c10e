import { setImmediate as nextTurn } from "node:timers/promises";
import type { GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import type { SDXLControlNetPipeline } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { StepBatch } from "../pipelines/step-batch.ts";
import type { Batching } from "./batching.ts";
import { Picture, Pictures } from "./pictures.ts";
import { RunMemory } from "./run-memory.ts";
import { ShareLimit } from "./share-limit.ts";
import { Turns } from "./turns.ts";

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
  /** A shared run failed. Its calls go on alone, and so many share a run at most until enough have gone well. */
  narrowed(calls: number, error: unknown): void;
}

/**
 * Draws the pictures of many calls, a run of the graph after the other: {@link Turns} says whose, and calls of its size
 * share it as far as {@link Batching} allows. Calls come and go between two runs. One begins, which is when it takes
 * memory, with its first turn; where memory is short, the others wait in order.
 */
export class PictureLoop {
  readonly #pipeline: SDXLControlNetPipeline;
  readonly #events: LoopEvents;
  readonly #stopped: () => boolean;
  readonly #memory: RunMemory;
  readonly #pictures: Pictures;
  readonly #turns = new Turns<Picture>();
  /** The last run of each size, to be gone on with by the same calls. */
  readonly #batches = new Map<string, StepBatch>();
  readonly #limit: ShareLimit;
  #running: Promise<void> | undefined;

  /**
   * @param stopped asked between two runs: true ends the loop, and nobody is told.
   * @param used bytes that are used where the graphs run; undefined where nobody tells.
   */
  constructor(
    pipeline: SDXLControlNetPipeline,
    batching: Batching,
    events: LoopEvents,
    stopped: () => boolean,
    used: () => Promise<number | undefined>,
  ) {
    this.#pipeline = pipeline;
    this.#memory = new RunMemory(batching, used);
    this.#pictures = new Pictures(this.#memory, batching.memoryBytes);
    this.#events = events;
    this.#stopped = stopped;
    this.#limit = new ShareLimit(batching.calls);
  }

  /** Takes a call; wrong parameters are told at once. */
  add(id: number, params: GenerateParams): void {
    try {
      const checked = this.#pipeline.check(params);
      this.#pictures.add(new Picture(id, checked, this.#pipeline.decodedAtOnce(checked)));
    } catch (error) {
      this.#events.failed(id, error);
    }
  }

  /** Has a call take no further step. */
  cancel(id: number): void {
    const picture = this.#pictures.find(id);
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
    while (this.#pictures.count > 0 && !this.#stopped()) {
      const leader = this.#turns.next(this.#pictures.mayStep());
      const taking = await this.#begin(this.#pictures.together(leader, this.#limit.calls));
      if (taking.length > 0) await this.#step(taking);
      for (const picture of taking) if (picture.call!.denoising.done) await this.#decode(picture);
      // Messages: calls that came, and cancels.
      await nextTurn();
    }
  }

  /** Prepares those of them that take their first step; gives those that can take one. */
  async #begin(pictures: readonly Picture[]): Promise<Picture[]> {
    for (const picture of pictures) {
      if (picture.call || picture.canceled || !this.#pictures.mayBegin(picture)) continue;
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
      this.#limit.wentWell(pictures.length);
    } catch (error) {
      this.#batches.delete(pictures[0]!.size);
      if (pictures.length === 1) {
        this.#fail(pictures[0]!, error);
        return;
      }
      this.#events.narrowed(this.#limit.failed(pictures.length), error);
      for (const picture of pictures)
        if (!picture.canceled) await this.#run([picture]).catch((alone: unknown) => this.#fail(picture, alone));
    }
    this.#turns.took(pictures);
  }

  async #run(pictures: readonly Picture[]): Promise<void> {
    const batch = this.#batchOf(pictures);
    const rows = pictures.reduce((sum, picture) => sum + picture.rows, 0);
    const timings = await this.#memory.measure(rows, pictures[0]!.pixels, () => batch.step());
    const steps = pictures
      .filter(({ canceled }) => !canceled)
      .map(({ id, call }) => ({ id, step: call!.denoising.step, total: call!.denoising.totalSteps }));
    if (steps.length > 0) this.#events.stepped(steps, timings);
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
    this.#pictures.remove(picture);
    this.#batches.delete(picture.size);
    this.#turns.left(picture);
  }
}
