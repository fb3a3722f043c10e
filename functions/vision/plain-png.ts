import { crc32, inflateSync } from "node:zlib";
import { paethPredictor } from "#shared/image/png-file.ts";

/** A PNG of the common kind: 8 bits a sample, gray, RGB or RGBA, not interlaced, nothing in it that changes colours. */
export interface PlainPng {
  width: number;
  height: number;
  /** Samples a pixel. */
  channels: 1 | 3 | 4;
  /** The deflated scanlines, in parts. */
  scanlines: Uint8Array[];
}

const SIGNATURE = "\x89PNG\r\n\x1a\n";
/** Channels by colour type. */
const CHANNELS: Record<number, PlainPng["channels"]> = { 0: 1, 2: 3, 6: 4 };
/** Chunks besides those of the picture itself that leave its pixels as they are. */
const HARMLESS = new Set(["pHYs", "sRGB", "tEXt", "tIME"]);

/** Reads the chunks of a PNG (PNG 3rd edition); undefined for any other kind of picture and for one with a fault. */
export function plainPng(bytes: Uint8Array): PlainPng | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 33 || file.toString("latin1", 0, 16) !== `${SIGNATURE}\0\0\0\rIHDR`) return undefined;
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const [depth, colour, compression, filter, interlace] = file.subarray(24, 29);
  const channels = CHANNELS[colour!];
  if (!channels || depth !== 8 || compression || filter || interlace || !width || !height) return undefined;
  const scanlines: Uint8Array[] = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = file.readUInt32BE(at);
    const type = file.toString("latin1", at + 4, at + 8);
    const end = at + 8 + length;
    if (end + 4 > file.length || crc32(file.subarray(at + 4, end)) !== file.readUInt32BE(end)) return undefined;
    if (type === "IDAT") scanlines.push(file.subarray(at + 8, end));
    else if (type === "IEND") return { width, height, channels, scanlines };
    else if (!(type === "IHDR" ? at === 8 : HARMLESS.has(type))) return undefined;
    at = end + 4;
  }
  return undefined;
}

/** The picture's pixels as RGB, alpha dropped, on the calling thread; undefined when they cannot be read. */
export function plainPngPixels({ width, height, channels, scanlines }: PlainPng): Uint8Array<ArrayBuffer> | undefined {
  const rowBytes = width * channels;
  const expected = (rowBytes + 1) * height;
  let filtered: Uint8Array;
  try {
    filtered = inflateSync(Buffer.concat(scanlines), { maxOutputLength: expected });
  } catch {
    return undefined;
  }
  if (filtered.length !== expected) return undefined;
  const rows = new Uint8Array(rowBytes * height);
  let above = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y++) {
    const from = y * (rowBytes + 1);
    const row = rows.subarray(y * rowBytes, (y + 1) * rowBytes);
    row.set(filtered.subarray(from + 1, from + 1 + rowBytes));
    if (!unfilter(filtered[from]!, row, above, channels)) return undefined;
    above = row;
  }
  return channels === 3 ? rows : toRgb(rows, channels);
}

/** Undoes a row's filter in place; false when there is no such filter. */
function unfilter(type: number, row: Uint8Array, above: Uint8Array, channels: number): boolean {
  switch (type) {
    case 0:
      return true;
    case 1:
      for (let i = channels; i < row.length; i++) row[i]! += row[i - channels]!;
      return true;
    case 2:
      for (let i = 0; i < row.length; i++) row[i]! += above[i]!;
      return true;
    case 3:
      for (let i = 0; i < row.length; i++) row[i]! += ((i < channels ? 0 : row[i - channels]!) + above[i]!) >> 1;
      return true;
    case 4:
      for (let i = 0; i < channels && i < row.length; i++) row[i]! += above[i]!;
      for (let i = channels; i < row.length; i++)
        row[i]! += paethPredictor(row[i - channels]!, above[i]!, above[i - channels]!);
      return true;
    default:
      return false;
  }
}

function toRgb(samples: Uint8Array, channels: 1 | 4): Uint8Array<ArrayBuffer> {
  const rgb = new Uint8Array((samples.length / channels) * 3);
  const [green, blue] = channels === 1 ? [0, 0] : [1, 2];
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    rgb[to] = samples[from]!;
    rgb[to + 1] = samples[from + green]!;
    rgb[to + 2] = samples[from + blue]!;
  }
  return rgb;
}
