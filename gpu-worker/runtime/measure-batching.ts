import { NDArray } from "#shared/codec/ndarray.ts";
import type { PictureCall, PipelineOptions, SDXLControlNetPipeline } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { StepBatch } from "../pipelines/step-batch.ts";
import { type Batching, type BatchingSettings, MOST_CALLS, runBytes, WORTH_IT } from "./batching.ts";
import { deviceMemory } from "./device-memory.ts";

/** Feature maps of the latents' size that a row of a run is taken to hold at once where nothing was measured. */
const MAPS_A_ROW = 64;
/** Maps of a picture's size, of its first level's width, that the decoder holds at once: the bundled model's took 7.5. */
const DECODER_MAPS = 8;
/** Rows of the picture that a pipeline draws before all else. */
const FIRST_ROWS = 2;
/** Bytes for runs where nobody tells what is free. */
const UNKNOWN_MEMORY = 2 ** 31;
const ROUNDS = 2;
/** The same where the first ones show a gain, which a busy neighbour can feign. */
const MORE_ROUNDS = 4;
/** More than are measured. */
const STEPS = 50;
/** A step that takes so long alone is bound by what it computes: it has nothing to gain, and a start no time to lose. */
const LONG_STEP_MS = 2000;
/** Where a run of two takes more than this, one of eight won't come below {@link WORTH_IT}: what a run takes once is too little. */
const HOPELESS = 0.8;

/**
 * Works out how many calls a run may hold: with `auto` by runs of the real graph at the model's own size, of 2, 4 and 8
 * calls, each beside runs of one; with `on` all that memory allows. What a row takes is what the process grew by, or an
 * estimate by the model's width where that is more.
 */
export async function decideBatching(
  pipeline: SDXLControlNetPipeline,
  settings: BatchingSettings,
  options: PipelineOptions,
): Promise<Batching> {
  const { nativeSize, vaeScaleFactor, baseChannels, decoderChannels } = pipeline.config;
  const before = await deviceMemory(options);
  const estimated: Batching = {
    calls: 1,
    rowBytes: MAPS_A_ROW * baseChannels * pipeline.floatBytes * (nativeSize / vaeScaleFactor) ** 2,
    nativePixels: nativeSize ** 2,
    seenRows: FIRST_ROWS,
    decodePixelBytes: DECODER_MAPS * decoderChannels * pipeline.decoderFloatBytes,
    memoryBytes: settings.memoryBytes ?? (before ? before.free / 2 : UNKNOWN_MEMORY),
    measured: [],
  };
  if (settings.mode === "off" || !pipeline.takesRows) return estimated;
  const { ratios, rows, seen, most } = await measure(pipeline, estimated, settings.mode === "on");
  const grown = (await deviceMemory(options))?.used;
  const measuredBytes = before && grown !== undefined && rows > 0 ? (grown - before.used) / rows : 0;
  const best = ratios.toSorted((a, b) => a.ratio - b.ratio)[0];
  const gains = best !== undefined && best.ratio <= WORTH_IT;
  return {
    ...estimated,
    rowBytes: Math.max(estimated.rowBytes, measuredBytes),
    seenRows: seen,
    calls: settings.mode === "on" ? most : gains ? best.calls : 1,
    measured: ratios,
  };
}

interface Measured {
  ratios: Batching["measured"][number][];
  /** Rows that the largest run had beyond those of one call. */
  rows: number;
  /** Rows of the largest run that went well. */
  seen: number;
  /** Calls of a run that is not known to fail. */
  most: number;
}

async function measure(pipeline: SDXLControlNetPipeline, limits: Batching, all: boolean): Promise<Measured> {
  const calls = [await blank(pipeline, 0)];
  const one = pipeline.batch([calls[0]!]);
  const ratios: Measured["ratios"] = [];
  const { rows } = calls[0]!.denoising;
  const first = await milliseconds(one);
  let seen = rows;
  for (let size = 2; size <= MOST_CALLS; size *= 2) {
    const fits = runBytes(limits, size * rows, limits.nativePixels) <= limits.memoryBytes;
    if (!fits || first > LONG_STEP_MS) break;
    while (calls.length < size) calls.push(await blank(pipeline, calls.length));
    try {
      const ratio = await compare(one, pipeline.batch(calls), size);
      ratios.push({ calls: size, ratio });
      seen = size * rows;
      if (ratio > HOPELESS && !all) break;
    } catch {
      // It needs more memory than there is: a start has no need of it.
      return { ratios, rows: (calls.length - 1) * rows, seen, most: size / 2 };
    }
  }
  return { ratios, rows: (calls.length - 1) * rows, seen, most: MOST_CALLS };
}

/** The shortest of a few turns each, so that what else the machine does counts for neither. */
async function compare(one: StepBatch, shared: StepBatch, size: number): Promise<number> {
  // The first run of a size lays out memory and, on a GPU, picks kernels.
  await shared.step();
  let [alone, together] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const measured = async (rounds: number): Promise<number> => {
    for (let round = 0; round < rounds; round++) {
      alone = Math.min(alone, await milliseconds(one));
      together = Math.min(together, await milliseconds(shared));
    }
    return together / (size * alone);
  };
  const ratio = await measured(ROUNDS);
  return ratio <= HOPELESS ? measured(MORE_ROUNDS) : ratio;
}

async function milliseconds(batch: StepBatch): Promise<number> {
  return (await batch.step()).stepMs;
}

/** A call with guidance at the model's own size. */
async function blank(pipeline: SDXLControlNetPipeline, seed: number): Promise<PictureCall> {
  const { nativeSize } = pipeline.config;
  const image = new NDArray("uint8", [nativeSize, nativeSize], new Uint8Array(nativeSize ** 2));
  const params = { prompt: "", negativePrompt: "", image, numInferenceSteps: STEPS, seed };
  return pipeline.prepare(pipeline.check(params));
}
