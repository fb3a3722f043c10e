import { parentPort, workerData } from "node:worker_threads";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { SDXLControlNetPipeline } from "../pipelines/sdxl-controlnet-pipeline.ts";
import { deviceMemory } from "./device-memory.ts";
import { decideBatching } from "./measure-batching.ts";
import { type LoopEvents, PictureLoop } from "./picture-loop.ts";
import { BUSY, type FromPipeline, type PipelineWorkerData, STOP, type ToPipeline } from "./pipeline-messages.ts";

/** The thread's side of {@link PipelineThread}: owns every session, and the loop that draws what is asked. */
const port = parentPort!;
const { modelDir, options, batching: asked, shared } = workerData as PipelineWorkerData;
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

async function start(): Promise<[SDXLControlNetPipeline, PictureLoop]> {
  const pipeline = await SDXLControlNetPipeline.load(modelDir, options);
  const { name, nativeSize, sizeMultiple } = pipeline.config;
  // The first run lays out memory and, on a GPU, picks kernels: no caller shall wait for that.
  const image = new NDArray("uint8", [nativeSize, nativeSize], new Uint8Array(nativeSize * nativeSize));
  await pipeline.generate({ prompt: "", negativePrompt: "", image, numInferenceSteps: 1, seed: 0 });
  const batching = "mode" in asked ? await decideBatching(pipeline, asked, options) : asked;
  const info = {
    model: name,
    nativeSize,
    sizeMultiple,
    maxPixels: pipeline.maxPixels,
    maxSteps: pipeline.schedulers.modelsOwn.numTrainTimesteps,
    executionProvider: options.executionProvider ?? "cpu",
    batching,
  };
  post({ type: "ready", info });
  const stopped = (): boolean => Atomics.load(words, STOP) === 1;
  const used = async (): Promise<number | undefined> => (await deviceMemory(options))?.used;
  return [pipeline, new PictureLoop(pipeline, batching, tell, stopped, used)];
}

const tell: LoopEvents = {
  stepped: (steps, timings) => post({ type: "stepped", steps, timings }),
  done: (id, { images: drawn, ...rest }) => {
    const images = drawn.map(({ shape, data }) => ({ shape, data: data as Uint8Array<ArrayBuffer> }));
    post(
      { type: "done", id, result: { ...rest, images } },
      images.map(({ data }) => data.buffer),
    );
  },
  failed: (id, error) => post({ type: "failed", id, ...told(error) }),
  narrowed: (calls, error) => post({ type: "narrowed", calls, error: told(error).error }),
};

try {
  const [pipeline, loop] = await whileBusy(start);
  port.on("message", async (message: ToPipeline) => {
    if (message.type === "generate") {
      const { id, params } = message;
      loop.add(id, { ...params, image: new NDArray("uint8", params.image.shape, params.image.data) });
      await whileBusy(() => loop.run());
    } else if (message.type === "cancel") loop.cancel(message.id);
    else {
      await loop.run();
      await pipeline.release();
      port.close();
    }
  });
} catch (thrown) {
  post({ type: "refused", ...told(thrown) });
  port.close();
}
