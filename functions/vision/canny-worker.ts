import type { TransferListItem } from "node:worker_threads";
import type { CannyKernel, WasmInterface } from "./canny-kernel.ts";

declare const WebAssembly: WasmInterface;

/** A picture's sizes and thresholds, sent before its first strip. */
export interface BeginMessage {
  id: number;
  width: number;
  height: number;
  channels: number;
  low: number;
  high: number;
  stripRows: number;
}

/** Some rows of the picture; the buffer comes back, for the next strip, once the kernel has them. */
export interface StripMessage {
  id: number;
  rows: number;
  strip: ArrayBuffer;
}

export type ThreadMessage = BeginMessage | StripMessage;

/** What the thread answers: a strip's buffer, the edges after the last strip, or that there is no memory for them. */
export interface ThreadReply {
  id: number;
  strip?: ArrayBuffer;
  edges?: ArrayBuffer;
  tooLarge?: boolean;
}

export interface ThreadData {
  module: object;
  stackBytes: number;
  keptBytes: number;
}

/** The part of `node:worker_threads` that the thread uses. */
interface ThreadScope {
  workerData: ThreadData;
  parentPort: {
    on(event: "message", listener: (message: ThreadMessage) => void): void;
    postMessage(reply: ThreadReply, transfer: TransferListItem[]): void;
  };
}

/**
 * The thread of `cannyAsync`. Its text is what the thread runs (no file to find, bundled or not), so it may use nothing
 * from outside its own body but types.
 */
export function cannyWorker({ workerData, parentPort }: ThreadScope): void {
  let kernel: CannyKernel | undefined;
  let picture: BeginMessage | undefined;
  let strip = 0;
  let rowsLeft = 0;

  parentPort.on("message", (message) => {
    if ("stripRows" in message) {
      kernel ??= new WebAssembly.Instance(workerData.module).exports as CannyKernel;
      const { id, width, height, channels, low, high, stripRows } = message;
      strip = kernel.begin(width, height, channels, low, high, stripRows, workerData.stackBytes) >>> 0;
      picture = strip === 0 ? undefined : message;
      rowsLeft = height;
      if (!picture) parentPort.postMessage({ id, tooLarge: true }, []);
      return;
    }

    const { id, rows } = message;
    if (kernel && picture?.id === id) {
      const { width, height, channels } = picture;
      new Uint8Array(kernel.memory.buffer).set(new Uint8Array(message.strip, 0, rows * width * channels), strip);
      kernel.feed(rows);
      rowsLeft -= rows;
      if (rowsLeft === 0) {
        const from = kernel.finish() >>> 0;
        const edges = new Uint8Array(width * height);
        edges.set(new Uint8Array(kernel.memory.buffer, from, edges.length));
        if (kernel.memory.buffer.byteLength > workerData.keptBytes) kernel = undefined;
        picture = undefined;
        parentPort.postMessage({ id, edges: edges.buffer }, [edges.buffer]);
      }
    }
    parentPort.postMessage({ id, strip: message.strip }, [message.strip]);
  });
}
