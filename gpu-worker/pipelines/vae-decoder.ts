import { join } from "node:path";
import { ServiceError } from "#shared/errors/service-error.ts";
import { type GraphFloats, OnnxSession, type SessionOptions } from "../onnx/session.ts";
import { GRAPHS } from "./graphs.ts";
import type { ModelConfig } from "./model-config.ts";
import { decodeTiled } from "./tiled-decode.ts";

/** Whether pictures are decoded in tiles: `auto` does large ones, `on` all that are larger than a tile. */
export const VAE_TILING = ["auto", "on", "off"] as const;
export type VaeTiling = (typeof VAE_TILING)[number];

/** Pixels that `auto` decodes whole. SDXL's own size is two thirds of that. */
const WHOLE_PIXELS = 1.5 * 2 ** 20;

/**
 * `TANDEM_VAE_TILING`, default auto.
 * @throws ServiceError INVALID_ARGUMENT for another word.
 */
export function vaeTilingFromEnvironment(name: string = process.env.TANDEM_VAE_TILING ?? "auto"): VaeTiling {
  const found = VAE_TILING.find((tiling) => tiling === name);
  if (found) return found;
  throw new ServiceError("INVALID_ARGUMENT", `TANDEM_VAE_TILING must be one of ${VAE_TILING.join(", ")}, not ${name}`);
}

type VaeConfig = Pick<ModelConfig, "latentChannels" | "vaeScaleFactor" | "vaeTileSize" | "decodeScale" | "decodeShift">;

/** The VAE's decoder: latents to a picture. Blocks the thread that it is called on. */
export class VaeDecoder {
  readonly #session: OnnxSession;
  readonly #config: VaeConfig;
  readonly #tiling: VaeTiling;

  private constructor(session: OnnxSession, config: VaeConfig, tiling: VaeTiling) {
    this.#session = session;
    this.#config = config;
    this.#tiling = tiling;
  }

  /**
   * Loads `vae_decoder/model.onnx` below the model folder.
   * @throws ServiceError as {@link OnnxSession.load}
   */
  static async load(
    folder: string,
    config: VaeConfig,
    options: SessionOptions & { vaeTiling?: VaeTiling } = {},
  ): Promise<VaeDecoder> {
    const session = await OnnxSession.load(join(folder, "vae_decoder", "model.onnx"), GRAPHS.vae_decoder, options);
    return new VaeDecoder(session, config, options.vaeTiling ?? "auto");
  }

  /**
   * @param latents of the denoiser, [channels, height, width]
   * @returns the picture, [3, height * factor, width * factor], about -1..1
   * @throws ServiceError OUT_OF_MEMORY
   */
  async decode(latents: Float32Array, height: number, width: number): Promise<GraphFloats> {
    const {
      decodeScale,
      decodeShift,
      latentChannels: channels,
      vaeTileSize: tileSize,
      vaeScaleFactor: scale,
    } = this.#config;
    const scaled = new Float32Array(latents.length);
    const plane = height * width;
    for (let i = 0; i < latents.length; i++) {
      const channel = Math.floor(i / plane);
      scaled[i] = latents[i]! * decodeScale[channel]! + decodeShift[channel]!;
    }
    if (!this.#tiled(height, width)) return this.#run(scaled, height, width);
    return decodeTiled({ latents: scaled, channels, height, width, tileSize, scale }, async (...tile) =>
      Float32Array.from(await this.#run(...tile)),
    );
  }

  /** Pixels of a picture that are decoded at once: all, or a tile's. Height and width are of the latents. */
  pixelsAtOnce(height: number, width: number): number {
    const { vaeTileSize, vaeScaleFactor } = this.#config;
    const most = this.#tiled(height, width) ? vaeTileSize : Number.POSITIVE_INFINITY;
    return Math.min(height, most) * Math.min(width, most) * vaeScaleFactor ** 2;
  }

  /** Bytes of a number in the latents. */
  get floatBytes(): number {
    return this.#session.input("latent_sample").dtype === "float16" ? 2 : 4;
  }

  /** Frees the graph's memory. */
  release(): Promise<void> {
    return this.#session.release();
  }

  #tiled(height: number, width: number): boolean {
    const { vaeTileSize, vaeScaleFactor } = this.#config;
    if (this.#tiling === "off" || Math.max(height, width) <= vaeTileSize) return false;
    return this.#tiling === "on" || height * width * vaeScaleFactor ** 2 > WHOLE_PIXELS;
  }

  async #run(latents: Float32Array, height: number, width: number): Promise<GraphFloats> {
    const input = this.#session.inputTensor("latent_sample", [1, this.#config.latentChannels, height, width]);
    (input.data as GraphFloats).set(latents);
    const { sample } = await this.#session.run({ latent_sample: input });
    return sample!.data;
  }
}
