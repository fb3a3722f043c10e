import { ControlNet } from "#shared/contracts/controlnet.ts";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { preferredImageFormat } from "#shared/image/accept.ts";
import {
  type Apis,
  type CallContext,
  ImageValue,
  type Input,
  implement,
  type Output,
  ServiceError,
} from "#shared/index.ts";
import { cannyAsync } from "../vision/canny-thread.ts";
import { decodeImage } from "../vision/decode-image.ts";
import { encodeEdgePng } from "../vision/edge-map.ts";
import { imageSize, workingSize } from "../vision/image-size.ts";

/** Hysteresis thresholds of the reference application. */
const LOW = 100;
const HIGH = 200;

/** The entry: Canny edges here, the picture from the GPU service. */
export default class ControlNetImpl extends implement(ControlNet) implements Apis<typeof ControlNet> {
  readonly controlnetService = this.depends(SDXLControlNetService);
  #info: Output<typeof SDXLControlNetService, "info"> | undefined;

  async generate({ image, params }: Input<typeof ControlNet, "generate">, ctx: CallContext): Promise<ImageValue> {
    // An Accept header that names no picture at all is disregarded, as RFC 9110 (12.4.1) allows.
    const format = preferredImageFormat(ctx.accept) ?? "png";
    const { signal } = ctx;
    const { width, height, ...rest } = params;
    const [source, info] = await Promise.all([imageSize(image), this.#modelInfo()]);
    const { work, result } = workingSize(source, info.native_size, info.size_multiple, { width, height });
    if (work.width * work.height > info.max_pixels)
      throw new ServiceError(
        "PAYLOAD_TOO_LARGE",
        `${result.width} x ${result.height} pixels are more than the model's limit of ${info.max_pixels}; ask for a smaller width and height`,
      );
    const pixels = await decodeImage(image, { size: work, signal });
    const edges = await cannyAsync(pixels, LOW, HIGH, { signal });
    const arr = edges.reshape([work.height, work.width, 1]).broadcastTo([work.height, work.width, 3]);
    const [[picture]] = await this.controlnetService.generate({ ...rest, ...result, arr, output_format: format }, ctx);
    return picture!;
  }

  async edges({ image, low, high }: Input<typeof ControlNet, "edges">, { signal }: CallContext): Promise<ImageValue> {
    const pixels = await decodeImage(image, { signal });
    return new ImageValue(await encodeEdgePng(await cannyAsync(pixels, low, high, { signal }), { signal }), "png");
  }

  /** The model's sizes: asked until they are known. Calls under way share no question, for one may be canceled. */
  async #modelInfo() {
    this.#info ??= await this.controlnetService.info({});
    return this.#info;
  }
}
