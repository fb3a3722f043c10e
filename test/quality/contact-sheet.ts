import { writeFile } from "node:fs/promises";
import sharp, { type OverlayOptions } from "sharp";
import type { NDArray } from "#shared/codec/ndarray.ts";

export interface SheetCell {
  /** uint8 [h, w] or [h, w, 3]; they stand side by side. */
  pictures: NDArray<"uint8">[];
  caption: string;
}

const COLUMNS = 6;
const SIDE = 128;
const GAP = 8;
const CAPTION = 30;

/** Writes a PNG of the cells, in rows, each with its caption below. */
export async function writeContactSheet(file: string, cells: SheetCell[]): Promise<void> {
  const across = Math.max(...cells.map(({ pictures }) => pictures.length));
  const [width, height] = [across * SIDE + GAP, SIDE + CAPTION + GAP];
  const layers: OverlayOptions[] = [];
  for (const [index, { pictures, caption }] of cells.entries()) {
    const [left, top] = [(index % COLUMNS) * width, Math.floor(index / COLUMNS) * height];
    for (const [place, picture] of pictures.entries())
      layers.push({ input: await png(picture), left: left + place * SIDE, top });
    layers.push({ input: await text(caption, width - GAP), left, top: top + SIDE + 2 });
  }
  const rows = Math.ceil(cells.length / COLUMNS);
  const sheet = { width: Math.min(cells.length, COLUMNS) * width, height: rows * height, channels: 3 as const };
  const canvas = sharp({ create: { ...sheet, background: "#ffffff" } });
  await writeFile(file, await canvas.composite(layers).png().toBuffer());
}

async function png(picture: NDArray<"uint8">): Promise<Buffer> {
  const [height, width, channels = 1] = picture.shape as [number, number, number?];
  const raw = { width, height, channels: channels as 1 | 3 };
  return sharp(picture.contiguous().data, { raw }).resize(SIDE, SIDE).toColourspace("srgb").png().toBuffer();
}

function text(caption: string, width: number): Promise<Buffer> {
  const escaped = caption.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]!);
  return sharp({ text: { text: escaped, font: "sans 10", width, dpi: 72, rgba: true, wrap: "word" } })
    .png()
    .toBuffer();
}
