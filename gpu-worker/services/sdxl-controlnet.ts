import { fileURLToPath } from "node:url";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { encodeImage } from "#shared/image/encode-image.ts";
import { type Apis, type CallContext, type Input, implement, type Lifecycle, type Output } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { countBatch } from "#shared/observability/metrics.ts";
import { observeSteps } from "#shared/observability/steps.ts";
import { executionProviderFromEnvironment } from "../onnx/execution-provider.ts";
import { vaeTilingFromEnvironment } from "../pipelines/vae-decoder.ts";
import { batchingFromEnvironment, usefulPlaces } from "../runtime/batching.ts";
import { PipelineThread } from "../runtime/pipeline-thread.ts";

/** The model folder: `TANDEM_MODEL_DIR`, else the bundled model. */
const MODEL_DIR = process.env.TANDEM_MODEL_DIR ?? fileURLToPath(new URL("../model", import.meta.url));

/** The GPU service: owns the pipeline thread, and with it the model. */
export default class SDXLControlNetImpl
  extends implement(SDXLControlNetService)
  implements Apis<typeof SDXLControlNetService>, Lifecycle
{
  #pipeline: PipelineThread | undefined;

  async onStart(): Promise<void> {
    this.#pipeline = await PipelineThread.start(MODEL_DIR, {
      executionProvider: executionProviderFromEnvironment(),
      ...(process.env.TANDEM_TENSORRT_CACHE && { engineCache: process.env.TANDEM_TENSORRT_CACHE }),
      vaeTiling: vaeTilingFromEnvironment(),
      // Admission is the service's max_concurrency; this only bounds what a wrong one would let in.
      queueSize: 1024,
      batching: batchingFromEnvironment(),
      onRun: (calls) => countBatch(SDXLControlNetService.name, "generate", calls),
      onNarrowed: (calls, err) =>
        log.warn({ err, calls }, "a run that calls shared failed; fewer share one until enough have gone well"),
      onCrash: (err) => log.error({ err }, "the pipeline thread crashed; it starts again"),
    });
    const { calls, measured, memoryBytes, rowBytes } = this.#pipeline.info.batching;
    const found = { calls, measured, memory_bytes: memoryBytes, row_bytes: rowBytes };
    log[calls > 1 ? "info" : "debug"](found, "how many calls share a run");
  }

  queuePlaces(): number {
    return usefulPlaces(this.#pipeline!.info.batching);
  }

  isReady(): boolean {
    return this.#pipeline?.ready ?? false;
  }

  async onStop(): Promise<void> {
    await this.#pipeline?.close();
  }

  async generate(
    input: Input<typeof SDXLControlNetService, "generate">,
    { signal, progress, log, traceparent }: CallContext,
  ): Promise<Output<typeof SDXLControlNetService, "generate">> {
    const [height, width] = input.arr.shape as [number, number, number];
    const params = {
      prompt: input.prompt,
      negativePrompt: input.negative_prompt,
      image: input.arr,
      controlnetConditioningScale: input.controlnet_conditioning_scale,
      controlGuidanceStart: input.control_guidance_start,
      controlGuidanceEnd: input.control_guidance_end,
      scheduler: input.scheduler,
      numImagesPerPrompt: input.num_images_per_prompt,
      numInferenceSteps: input.num_inference_steps,
      guidanceScale: input.guidance_scale,
      seed: input.seed,
    };
    const { images, seed, droppedTokens, warnings, timings } = await observeSteps(
      SDXLControlNetService.name,
      "generate",
      traceparent,
      (heard) =>
        this.#pipeline!.generate(params, {
          signal,
          onStep: (step, total, { stepMs }) => {
            heard(step, total, stepMs);
            progress(step / total);
          },
        }),
    );
    log.debug({ seed, timings, droppedTokens }, "generated");
    if (warnings.length > 0)
      log.warn({ dropped_tokens: droppedTokens }, "a prompt was truncated: its last tokens had no effect");
    const options = {
      size: { width: input.width ?? width, height: input.height ?? height },
      quality: input.output_quality,
    };
    const pictures = await Promise.all(images.map((image) => encodeImage(image, input.output_format, options)));
    return [pictures, { seed, warnings }];
  }

  info() {
    const { model, nativeSize, sizeMultiple, maxPixels, executionProvider } = this.#pipeline!.info;
    return {
      model,
      native_size: nativeSize,
      size_multiple: sizeMultiple,
      max_pixels: maxPixels,
      execution_provider: executionProvider,
    };
  }
}
