import type { ServiceErrorJson } from "#shared/errors/service-error.ts";
import type { GenerateParams } from "../pipelines/generate-params.ts";
import type { GeneratedImage, PipelineOptions, StepTimings } from "../pipelines/sdxl-controlnet-pipeline.ts";

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
  executionProvider: "cpu" | "cuda";
}

/** Given to the thread when it starts. */
export interface PipelineWorkerData {
  modelDir: string;
  options: PipelineOptions;
  /** One Int32: the job that shall stop, by its id. */
  abort: SharedArrayBuffer;
}

/** A control picture without its class, which does not survive the way between threads. */
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
  | { type: "done"; id: number; result: Omit<GeneratedImage, "image"> & { image: PlainImage } }
  | { type: "failed"; id: number; error: ServiceErrorJson; cause: unknown };
