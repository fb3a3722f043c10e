import type { ServiceErrorJson } from "#shared/errors/service-error.ts";
import type { ExecutionProvider } from "../onnx/execution-provider.ts";
import type { GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import type { PipelineOptions } from "../pipelines/sdxl-controlnet-pipeline.ts";

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
}

/** Given to the thread when it starts. */
export interface PipelineWorkerData {
  modelDir: string;
  options: PipelineOptions;
  /** {@link SHARED_WORDS} Int32s. */
  shared: SharedArrayBuffer;
}

export const SHARED_WORDS = 2;
/** Word that holds the id of the job that shall stop, or {@link EVERY_JOB}. */
export const ABORT = 0;
export const EVERY_JOB = -1;
/** Word that is 1 while the thread loads or draws, else 0. */
export const BUSY = 1;

/** A picture without its class, which does not survive the way between threads. */
export interface PlainImage {
  shape: readonly number[];
  data: Uint8Array<ArrayBuffer>;
}

export type ToPipeline =
  | { type: "generate"; id: number; params: Omit<GenerateParams, "image"> & { image: PlainImage } }
  | { type: "close" };

export type FromPipeline =
  | { type: "ready"; info: PipelineInfo }
  | { type: "refused"; error: ServiceErrorJson; cause: unknown }
  | { type: "step"; id: number; step: number; total: number; timings: StepTimings }
  | { type: "done"; id: number; result: Omit<GeneratedImages, "images"> & { images: PlainImage[] } }
  | { type: "failed"; id: number; error: ServiceErrorJson; cause: unknown };
