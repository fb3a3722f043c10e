import { type ImageFormat, ImageValue } from "#shared/codec/image.ts";
import { encodeImage } from "#shared/image/encode-image.ts";
import { type DecodeOptions, decodeImage } from "./decode-image.ts";
import { imageFormat } from "./image-format.ts";

/**
 * The picture in `format`: its own bytes, untouched, when they are of that format, else decoded and encoded anew (RGB).
 * @throws ServiceError what {@link decodeImage} throws.
 */
export async function transcodeImage(
  image: ImageValue,
  format: ImageFormat,
  options: Omit<DecodeOptions, "size"> = {},
): Promise<ImageValue> {
  if (imageFormat(image.bytes, options.field) === format)
    return image.format === format ? image : new ImageValue(image.bytes, format);
  return encodeImage(await decodeImage(image, options), format);
}
