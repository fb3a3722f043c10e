/** A decoded part of a picture, [3, height, width], about -1..1. */
interface Tile {
  data: Float32Array;
  height: number;
  width: number;
}

/** Part of a tile that its neighbours have, too. */
const OVERLAP = 0.25;
const COLOURS = 3;

/** What the tiles of a picture are cut from, and how. */
export interface TiledLatents {
  /** [channels, height, width] */
  latents: Float32Array;
  channels: number;
  height: number;
  width: number;
  /** Latents of a tile on a side, a multiple of 4. */
  tileSize: number;
  /** Pixels a latent, on a side. */
  scale: number;
}

/**
 * Decodes latents tile by tile, each with a quarter in common with its neighbours, and blends the seams: diffusers 0.42.1's
 * `AutoencoderKL.tiled_decode`, which `enable_vae_tiling` switches on. What the decoder works out at once is a tile's.
 *
 * @param decode gives [3, height * scale, width * scale] for latents [channels, height, width].
 * @returns the picture, [3, height * scale, width * scale].
 */
export async function decodeTiled(
  from: TiledLatents,
  decode: (latents: Float32Array, height: number, width: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const { height, width, tileSize, scale } = from;
  const step = tileSize * (1 - OVERLAP);
  const [kept, blended] = [step * scale, tileSize * scale * OVERLAP];
  const picture = {
    data: new Float32Array(COLOURS * height * width * scale ** 2),
    height: height * scale,
    width: width * scale,
  };
  let above: Tile[] = [];
  for (let top = 0; top < height; top += step) {
    const row: Tile[] = [];
    for (let left = 0; left < width; left += step) {
      const size = [Math.min(tileSize, height - top), Math.min(tileSize, width - left)] as const;
      const tile = {
        data: await decode(cut(from, top, left, ...size), ...size),
        height: size[0] * scale,
        width: size[1] * scale,
      };
      const place = row.length;
      if (above[place]) blendDown(above[place], tile, blended);
      if (row[place - 1]) blendRight(row[place - 1]!, tile, blended);
      row.push(tile);
      paste(tile, picture, top * scale, left * scale, kept);
    }
    above = row;
  }
  return picture.data;
}

function cut(from: TiledLatents, top: number, left: number, height: number, width: number): Float32Array {
  const out = new Float32Array(from.channels * height * width);
  for (let channel = 0; channel < from.channels; channel++)
    for (let y = 0; y < height; y++) {
      const start = (channel * from.height + top + y) * from.width + left;
      out.set(from.latents.subarray(start, start + width), (channel * height + y) * width);
    }
  return out;
}

/** Turns the upper rows of `tile` from the lowest ones of `above` into its own. */
function blendDown(above: Tile, tile: Tile, most: number): void {
  const extent = Math.min(above.height, tile.height, most);
  for (let colour = 0; colour < COLOURS; colour++)
    for (let y = 0; y < extent; y++) {
      const from = (colour * above.height + above.height - extent + y) * above.width;
      const to = (colour * tile.height + y) * tile.width;
      for (let x = 0; x < tile.width; x++)
        tile.data[to + x] = above.data[from + x]! * (1 - y / extent) + tile.data[to + x]! * (y / extent);
    }
}

/** Turns the left columns of `tile` from the last ones of `before` into its own. */
function blendRight(before: Tile, tile: Tile, most: number): void {
  const extent = Math.min(before.width, tile.width, most);
  for (let line = 0; line < COLOURS * tile.height; line++) {
    const from = (line + 1) * before.width - extent;
    const to = line * tile.width;
    for (let x = 0; x < extent; x++)
      tile.data[to + x] = before.data[from + x]! * (1 - x / extent) + tile.data[to + x]! * (x / extent);
  }
}

/** Copies the part of a tile that no later one covers, `most` pixels on a side. */
function paste(tile: Tile, picture: Tile, top: number, left: number, most: number): void {
  const [height, width] = [Math.min(tile.height, most), Math.min(tile.width, most)];
  for (let colour = 0; colour < COLOURS; colour++)
    for (let y = 0; y < height; y++) {
      const start = (colour * tile.height + y) * tile.width;
      const to = (colour * picture.height + top + y) * picture.width + left;
      picture.data.set(tile.data.subarray(start, start + width), to);
    }
}
