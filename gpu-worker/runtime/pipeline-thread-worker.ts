import { parentPort, workerData } from "node:worker_threads";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { SDXLControlNetPipeline } from "../pipelines/sdxl-controlnet-pipeline.ts";
import {
  ABORT,
  BUSY,
  EVERY_JOB,
  type FromPipeline,
  type PipelineWorkerData,
  type ToPipeline,
} from "./pipeline-messages.ts";

/** The thread's side of {@link PipelineThread}: owns every session and answers one job after the other. */
const port = parentPort!;
const { modelDir, options, shared } = workerData as PipelineWorkerData;
const words = new Int32Array(shared);

const post = (message: FromPipeline, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

/** An error as the main thread can take it: what it says, and its cause for the log. */
function told(thrown: unknown): { error: ReturnType<ServiceError["toJSON"]>; cause: unknown } {
  const error = ServiceError.from(thrown);
  const cause = error.cause ?? (error === thrown ? undefined : thrown);
  return { error: error.toJSON(), cause: cause instanceof Error ? new Error(cause.stack ?? cause.message) : undefined };
}

async function whileBusy<T>(work: () => Promise<T>): Promise<T> {
  Atomics.store(words, BUSY, 1);
  try {
    return await work();
  } finally {
    Atomics.store(words, BUSY, 0);
    Atomics.notify(words, BUSY);
  }
}

async function start(): Promise<SDXLControlNetPipeline> {
  const pipeline = await SDXLControlNetPipeline.load(modelDir, options);
  const { name, nativeSize, sizeMultiple } = pipeline.config;
  // The first run lays out memory and, on a GPU, picks kernels: no caller shall wait for that.
  const image = new NDArray("uint8", [nativeSize, nativeSize], new Uint8Array(nativeSize * nativeSize));
  await pipeline.generate({ prompt: "", negativePrompt: "", image, numInferenceSteps: 1, seed: 0 });
  const info = {
    model: name,
    nativeSize,
    sizeMultiple,
    maxPixels: pipeline.maxPixels,
    maxSteps: pipeline.schedulers.modelsOwn.numTrainTimesteps,
    executionProvider: options.executionProvider ?? "cpu",
  };
  post({ type: "ready", info });
  return pipeline;
}

async function generate(
  pipeline: SDXLControlNetPipeline,
  { id, params }: Extract<ToPipeline, { type: "generate" }>,
): Promise<void> {
  try {
    const image = new NDArray("uint8", params.image.shape, params.image.data);
    const { images: drawn, ...rest } = await pipeline.generate(
      { ...params, image },
      {
        onStep: (step, total, timings) => post({ type: "step", id, step, total, timings }),
        shouldAbort: () => [id, EVERY_JOB].includes(Atomics.load(words, ABORT)),
      },
    );
    const images = drawn.map(({ shape, data }) => ({ shape, data: data as Uint8Array<ArrayBuffer> }));
    post(
      { type: "done", id, result: { ...rest, images } },
      images.map(({ data }) => data.buffer),
    );
  } catch (thrown) {
    post({ type: "failed", id, ...told(thrown) });
  }
}

try {
  const pipeline = await whileBusy(start);
  // The main thread sends the next job after the last one's answer, so messages never overlap.
  port.on("message", (message: ToPipeline) => {
    if (message.type === "generate") void whileBusy(() => generate(pipeline, message));
    else void pipeline.release().finally(() => port.close());
  });
} catch (thrown) {
  post({ type: "refused", ...told(thrown) });
  port.close();
}
