import type { ServiceErrorJson } from "#shared/errors/service-error.ts";
import type { ExecutionProvider } from "../onnx/execution-provider.ts";
import type { GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import type { PipelineOptions } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { Batching, BatchingSettings } from "./batching.ts";
import type { StepDone } from "./picture-loop.ts";

/** What a loaded pipeline says of itself. */
export interface PipelineInfo {
  model: string;
  /** Width and height that the model was trained for, in pixels. */
  nativeSize: number;
  /** Pictures are padded to multiples of this, in pixels, and cropped again. */
  sizeMultiple: number;
  /** Most pixels of a picture. */
  maxPixels: number;
  /** Most steps of a run. */
  maxSteps: number;
  executionProvider: ExecutionProvider;
  batching: Batching;
}

/** Given to the thread when it starts. */
export interface PipelineWorkerData {
  modelDir: string;
  options: PipelineOptions;
  /** How many calls share a run: to be found out, or what was found out before. */
  batching: BatchingSettings | Batching;
  /** {@link SHARED_WORDS} Int32s. */
  shared: SharedArrayBuffer;
}

export const SHARED_WORDS = 2;
/** Word that is 1 once all work shall stop, without an answer: the process exits. */
export const STOP = 0;
/** Word that is 1 while the thread loads or draws, else 0. */
export const BUSY = 1;

/** A picture without its class, which does not survive the way between threads. */
export interface PlainImage {
  shape: readonly number[];
  data: Uint8Array<ArrayBuffer>;
}

export type ToPipeline =
  | { type: "generate"; id: number; params: Omit<GenerateParams, "image"> & { image: PlainImage } }
  | { type: "cancel"; id: number }
  | { type: "close" };

export type FromPipeline =
  | { type: "ready"; info: PipelineInfo }
  | { type: "refused"; error: ServiceErrorJson; cause: unknown }
  /** Steps of one run of the graph. */
  | { type: "stepped"; steps: StepDone[]; timings: StepTimings }
  | { type: "done"; id: number; result: Omit<GeneratedImages, "images"> & { images: PlainImage[] } }
  | { type: "failed"; id: number; error: ServiceErrorJson; cause: unknown }
  /** A run that calls shared failed; so many share one at most until enough have gone well. */
  | { type: "narrowed"; calls: number; error: ServiceErrorJson };
