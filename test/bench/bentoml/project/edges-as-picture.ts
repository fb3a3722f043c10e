import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { encodeImage } from "#shared/image/encode-image.ts";
import { type Apis, type ImageValue, type Input, implement } from "#shared/index.ts";

/** Stands in for the model: its picture is its edges, in colour. */
export default class EdgesAsPicture
  extends implement(SDXLControlNetService)
  implements Apis<typeof SDXLControlNetService>
{
  async generate(input: Input<typeof SDXLControlNetService, "generate">): Promise<[ImageValue[]]> {
    return [[await encodeImage(input.arr, input.output_format)]];
  }

  info() {
    return {
      model: "edges as picture",
      native_size: 1024,
      size_multiple: 8,
      max_pixels: 2 ** 24,
      execution_provider: "none",
    };
  }
}
