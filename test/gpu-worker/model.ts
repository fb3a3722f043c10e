import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { NDArray } from "#shared/codec/ndarray.ts";

/** The bundled model. */
export const MODEL_DIR = fileURLToPath(new URL("../../gpu-worker/model", import.meta.url));
const GOLDEN = fileURLToPath(new URL("../golden/pipeline", import.meta.url));

/** A file of little-endian float32 beside the goldens. */
export function goldenFloats(file: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(`${GOLDEN}/${file}`)).buffer);
}

/** A golden picture: [h, w] for `grey`, else [h, w, 3]. */
export async function goldenPicture(file: string, grey = false): Promise<NDArray<"uint8">> {
  const picture = sharp(`${GOLDEN}/${file}`);
  const { data, info } = await (grey ? picture.toColourspace("b-w") : picture.removeAlpha().toColourspace("srgb"))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const shape = grey ? [info.height, info.width] : [info.height, info.width, info.channels];
  return new NDArray("uint8", shape, Uint8Array.from(data));
}

/** A control picture with the outline of a box. */
export function boxOutline(height: number, width: number): NDArray<"uint8"> {
  const data = new Uint8Array(height * width);
  const [top, left] = [Math.floor(height / 4), Math.floor(width / 4)];
  for (let x = left; x < width - left; x++) data[top * width + x] = data[(height - top - 1) * width + x] = 255;
  for (let y = top; y < height - top; y++) data[y * width + left] = data[y * width + width - left - 1] = 255;
  return new NDArray("uint8", [height, width], data);
}

/** Largest difference of two arrays of one length; NaN when one of them holds one. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = a.length === b.length ? 0 : Number.NaN;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!));
  return most;
}
