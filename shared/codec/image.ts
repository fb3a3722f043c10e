const BRAND = Symbol.for("tandem.ImageValue");

/** Formats that a service takes or gives, by the names used in media types. */
export const IMAGE_FORMATS = ["png", "jpeg", "webp", "avif", "gif"] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/**
 * An encoded picture: its file's bytes, untouched. Pixels are made only where they are needed, so that a picture passes
 * through a service without being decoded.
 */
export class ImageValue {
  readonly bytes: Uint8Array;
  /** What the sender says the bytes are; undefined when it did not say. Decoders look at the bytes, not at this. */
  readonly format: ImageFormat | undefined;

  constructor(bytes: Uint8Array, format?: ImageFormat) {
    this.bytes = bytes;
    this.format = format;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** `image/<format>`, or `application/octet-stream` when the format is not known. */
  get mediaType(): string {
    return this.format ? `image/${this.format}` : "application/octet-stream";
  }

  static is(value: unknown): value is ImageValue {
    return typeof value === "object" && value !== null && BRAND in value;
  }
}
