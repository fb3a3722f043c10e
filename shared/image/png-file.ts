import { crc32, deflateSync } from "node:zlib";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

export interface PngHeader {
  width: number;
  height: number;
  /** Bits a sample. */
  depth: 1 | 8;
  channels: 1 | 3;
}

/** A PNG file (PNG 3rd edition) around deflated scanlines, which may be in parts. */
export function pngFile({ width, height, depth, channels }: PngHeader, scanlines: readonly Uint8Array[]): Buffer {
  const header = new Uint8Array(13);
  const fields = new DataView(header.buffer);
  fields.setUint32(0, width);
  fields.setUint32(4, height);
  fields.setUint8(8, depth);
  // Colour type: gray or RGB. Compression, filter method and interlace are 0.
  fields.setUint8(9, channels === 1 ? 0 : 2);
  return Buffer.concat([
    SIGNATURE,
    ...chunk("IHDR", header),
    ...scanlines.flatMap((data) => chunk("IDAT", data)),
    ...chunk("IEND", new Uint8Array(0)),
  ]);
}

/** A PNG chunk: length, type, data, and the CRC of type and data. */
function chunk(type: string, data: Uint8Array): Uint8Array[] {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length, 0);
  head.write(type, 4, "latin1");
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(data, crc32(head.subarray(4))), 0);
  return [head, data, tail];
}

/**
 * A PNG of 8-bit pixels, made on the calling thread: for small pictures, where handing over to libvips costs more than
 * the work. RGB rows are filtered by the one of Sub, Up and Paeth with the smallest sum of differences; gray is not.
 */
export function encodePngSync(
  pixels: Uint8Array,
  { width, height, channels }: Omit<PngHeader, "depth">,
  level: number,
): Buffer {
  const rowBytes = width * channels;
  const lines = new Uint8Array((rowBytes + 1) * height);
  const candidates: FilteredRows = [new Int8Array(rowBytes), new Int8Array(rowBytes), new Int8Array(rowBytes)];
  let above: Uint8Array = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * rowBytes, (y + 1) * rowBytes);
    const line = lines.subarray(y * (rowBytes + 1), (y + 1) * (rowBytes + 1));
    if (channels === 1) line.set(row, 1);
    else filterRow(row, above, candidates, line);
    above = row;
  }
  return pngFile({ width, height, depth: 8, channels }, [deflateSync(lines, { level })]);
}

type FilteredRows = readonly [sub: Int8Array, up: Int8Array, paeth: Int8Array];

/** Writes a filtered RGB row and the number of its filter to `line` (PNG 3rd edition, 9.2 and 12.7). */
function filterRow(row: Uint8Array, above: Uint8Array, [sub, up, paeth]: FilteredRows, line: Uint8Array): void {
  let [subSum, upSum, paethSum] = [0, 0, 0];
  for (let i = 0; i < row.length; i++) {
    const value = row[i]!;
    const left = i < 3 ? 0 : row[i - 3]!;
    const over = above[i]!;
    const corner = i < 3 ? 0 : above[i - 3]!;
    sub[i] = value - left;
    up[i] = value - over;
    paeth[i] = value - paethPredictor(left, over, corner);
    subSum += Math.abs(sub[i]!);
    upSum += Math.abs(up[i]!);
    paethSum += Math.abs(paeth[i]!);
  }
  const least = Math.min(subSum, upSum, paethSum);
  line[0] = least === subSum ? 1 : least === upSum ? 2 : 4;
  line.set(least === subSum ? sub : least === upSum ? up : paeth, 1);
}

/** The neighbour that is nearest to `left + above - corner`; the first of equals (PNG 3rd edition, 9.4). */
export function paethPredictor(left: number, above: number, corner: number): number {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}
