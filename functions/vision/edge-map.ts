import { pipeline } from "node:stream/promises";
import { crc32, createDeflate } from "node:zlib";
import { packBits, packedRowBytes } from "#shared/codec/bitmask.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";

const PNG_SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Packed in about a millisecond. */
const SLAB_PIXELS = 2 ** 20;

/**
 * An edge map as a gray PNG of one bit a pixel (PNG 3rd edition: colour type 0, filter 0, deflate at level 1), of the
 * map's own size: edges white on black. Packed a slab of rows at a time and deflated on Node's thread pool, so that the
 * event loop goes on turning beside a large map.
 *
 * @param edges dtype uint8, shape [h, w] with h and w from 1 up.
 * @param options.signal abandons the file; its reason is thrown.
 * @returns The file's bytes.
 * @throws ServiceError INVALID_ARGUMENT for another dtype or shape.
 */
export async function encodeEdgePng(
  edges: NDArray,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Uint8Array> {
  const { pixels, width, height } = edgePixels(edges);
  if (width < 1 || height < 1) throw invalid(`has no pixels: its shape is [${edges.shape}]`);
  const deflated: Uint8Array[] = [];
  try {
    await pipeline(
      scanlines(pixels, width, height),
      createDeflate({ level: 1, chunkSize: 2 ** 17 }),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) deflated.push(chunk);
      },
      { signal },
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  const header = new Uint8Array(13);
  const fields = new DataView(header.buffer);
  fields.setUint32(0, width);
  fields.setUint32(4, height);
  // Bit depth 1; colour type, compression, filter method and interlace are 0.
  fields.setUint8(8, 1);
  return Buffer.concat([
    PNG_SIGNATURE,
    ...chunk("IHDR", header),
    ...deflated.flatMap((data) => chunk("IDAT", data)),
    ...chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Slabs of whole rows; a scanline is the number of its filter, 0 for none, and then the packed row. */
function* scanlines(pixels: Uint8Array, width: number, height: number): Generator<Uint8Array> {
  const rowBytes = packedRowBytes(width);
  const slabRows = Math.max(1, Math.floor(SLAB_PIXELS / width));
  for (let top = 0; top < height; top += slabRows) {
    const rows = Math.min(slabRows, height - top);
    const packed = packBits(pixels.subarray(top * width, (top + rows) * width), width, rows);
    const slab = new Uint8Array((rowBytes + 1) * rows);
    for (let y = 0; y < rows; y++) slab.set(packed.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
    yield slab;
  }
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

function edgePixels(edges: NDArray): { pixels: Uint8Array; width: number; height: number } {
  if (!NDArray.is(edges) || edges.dtype !== "uint8" || edges.shape.length !== 2) {
    const given = NDArray.is(edges) ? `${edges.dtype} [${edges.shape}]` : typeof edges;
    throw invalid(`must be an NDArray of dtype uint8 and shape [h, w], not ${given}`);
  }
  const [height = 0, width = 0] = edges.shape;
  return { pixels: edges.contiguous().data as Uint8Array, width, height };
}

function invalid(message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `edges ${message}`, { detail: [{ path: ["edges"], message }] });
}
