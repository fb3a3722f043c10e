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

const pictureWork = () => import("../vision/picture-work.ts");

/** The entry: Canny edges here, the picture from the GPU service. */
export default class ControlNetImpl extends implement(ControlNet) implements Apis<typeof ControlNet> {
  readonly controlnetService = this.depends(SDXLControlNetService);
  #info: Output<typeof SDXLControlNetService, "info"> | undefined;

  async generate(input: Input<typeof ControlNet, "generate">, ctx: CallContext): Promise<ImageValue> {
    const { images } = await this.#draw(input, ctx);
    return images[0]!;
  }

  async generate_images(
    input: Input<typeof ControlNet, "generate_images">,
    ctx: CallContext,
  ): Promise<Output<typeof ControlNet, "generate_images">> {
    return this.#draw(input, ctx);
  }

  async #draw(
    { image, params, low, high }: Input<typeof ControlNet, "generate_images">,
    ctx: CallContext,
  ): Promise<Output<typeof ControlNet, "generate_images">> {
    const { signal } = ctx;
    // An Accept header that names no picture at all is disregarded, as RFC 9110 (12.4.1) allows.
    const { width, height, output_format = preferredImageFormat(ctx.accept) ?? "png", ...rest } = params;
    const { cannyAsync, decodeImage, imageSize, workingSize } = await pictureWork();
    const [source, info] = await Promise.all([imageSize(image), this.#modelInfo()]);
    const { work, result } = workingSize(source, info.native_size, info.size_multiple, { width, height });
    const pictures = params.num_images_per_prompt;
    if (work.width * work.height * pictures > info.max_pixels)
      throw new ServiceError(
        "PAYLOAD_TOO_LARGE",
        `${pictures > 1 ? `${pictures} times ` : ""}${result.width} x ${result.height} pixels are more than the model's limit of ` +
          `${info.max_pixels}; ask for a smaller width and height${pictures > 1 ? ", or for fewer pictures" : ""}`,
      );
    const pixels = await decodeImage(image, { size: work, signal });
    const edges = await cannyAsync(pixels, low, high, { signal });
    const arr = edges.reshape([work.height, work.width, 1]).broadcastTo([work.height, work.width, 3]);
    const [images, report] = await this.controlnetService.generate({ ...rest, ...result, arr, output_format }, ctx);
    for (const warning of report?.warnings ?? []) ctx.warn(warning);
    return { images, warnings: [], ...report };
  }

  async edges({ image, low, high }: Input<typeof ControlNet, "edges">, { signal }: CallContext): Promise<ImageValue> {
    const { cannyAsync, decodeImage, encodeEdgePng } = await pictureWork();
    const pixels = await decodeImage(image, { signal });
    return new ImageValue(await encodeEdgePng(await cannyAsync(pixels, low, high, { signal }), { signal }), "png");
  }

  /** The model's sizes: asked until they are known. Calls under way share no question, for one may be canceled. */
  async #modelInfo() {
    this.#info ??= await this.controlnetService.info({});
    return this.#info;
  }
}
