import { ServiceError } from "#shared/errors/service-error.ts";
import { CANNY_WASM } from "./canny.wasm.ts";
import type { CannyInput } from "./canny-input.ts";

/** What is used here of WebAssembly's interface, which TypeScript declares only together with the browser's. */
export interface WasmInterface {
  Module: new (binary: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
}
declare const WebAssembly: WasmInterface;

/** Exports of kernel/canny.ts; pointers are unsigned, yet arrive as signed 32-bit numbers. */
export interface CannyKernel {
  memory: { buffer: ArrayBuffer };
  begin(
    width: number,
    height: number,
    channels: number,
    low: number,
    high: number,
    stripRows: number,
    stackBytes: number,
  ): number;
  feed(rows: number): void;
  finish(): number;
}

/** Pixels copied into the kernel at a time: small enough to be still in the cache when the kernel reads them. */
const STRIP_BYTES = 128 * 1024;
/** Room for the pixels whose neighbours are yet to be looked at; the kernel scans again if it does not suffice. */
export const STACK_BYTES = 64 * 1024;
/** An instance whose memory grew past this (a picture of about 5700 x 5700) is dropped after the call. */
export const KEPT_BYTES = 32 * 1024 * 1024;

let compiled: object | null | undefined;
let idle: CannyKernel | undefined;

/** The compiled kernel, once per process; null where WebAssembly or its SIMD is missing. */
export function kernelModule(): object | null {
  if (compiled === undefined) {
    try {
      compiled = new WebAssembly.Module(Buffer.from(CANNY_WASM, "base64"));
    } catch {
      compiled = null;
    }
  }
  return compiled;
}

/**
 * Edges of a checked input by the kernel: width x height bytes of 0 or 255, owned by the caller. The instance and its
 * memory serve the next call too.
 * @throws ServiceError PAYLOAD_TOO_LARGE when the edge map does not fit into 4 GiB.
 */
export function kernelEdges(module: object, input: CannyInput, stackBytes = STACK_BYTES): Uint8Array<ArrayBuffer> {
  const { pixels, width, height, channels, low, high } = input;
  idle ??= new WebAssembly.Instance(module).exports as CannyKernel;
  const kernel = idle;
  const rowBytes = width * channels;
  const stripRows = Math.min(height, Math.max(1, Math.floor(STRIP_BYTES / rowBytes)));
  const strip = kernel.begin(width, height, channels, low, high, stripRows, stackBytes) >>> 0;
  if (strip === 0) throw tooLarge(width, height);

  const memory = new Uint8Array(kernel.memory.buffer);
  for (let y = 0; y < height; y += stripRows) {
    const rows = Math.min(stripRows, height - y);
    memory.set(pixels.subarray(y * rowBytes, (y + rows) * rowBytes), strip);
    kernel.feed(rows);
  }
  const from = kernel.finish() >>> 0;
  // Not slice(), which V8 copies several times slower.
  const edges = new Uint8Array(width * height);
  edges.set(memory.subarray(from, from + edges.length));
  if (memory.length > KEPT_BYTES) idle = undefined;
  return edges;
}

/** The error for a picture whose edge map the kernel's memory cannot hold. */
export function tooLarge(width: number, height: number): ServiceError {
  const message = `a picture of ${width} x ${height} needs more memory than there is; send a smaller one`;
  return new ServiceError("PAYLOAD_TOO_LARGE", message, { detail: [{ path: ["image"], message }] });
}
