import type { Worker } from "node:worker_threads";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { canny } from "./canny.ts";
import { type CannyInput, cannyInput } from "./canny-input.ts";
import { KEPT_BYTES, kernelModule, STACK_BYTES, tooLarge } from "./canny-kernel.ts";
import { cannyWorker, type ThreadData, type ThreadMessage, type ThreadReply } from "./canny-worker.ts";

/** Work, in bytes of padded rows, up to which a call stays on the calling thread: about 5 ms. */
const INLINE_WORK = 2.5 * 1024 * 1024;
/** A strip is copied in well under a millisecond. */
const STRIP_BYTES = 512 * 1024;
/** Strips under way at once: one with the kernel, one waiting for it, one being filled. */
const STRIPS = 3;
/** Pictures that may wait for the thread. */
const MAX_WAITING = 64;

interface Job {
  id: number;
  input: CannyInput;
  stripRows: number;
  /** The first row that was not sent yet. */
  nextRow: number;
  settle(result: Uint8Array<ArrayBuffer> | ServiceError): void;
}

let worker: Worker | undefined;
let current: Job | undefined;
let waiting: Job[] = [];
/** Strip buffers at hand for the next picture. */
let strips: ArrayBuffer[] = [];
let jobs = 0;

/**
 * {@link ./canny.ts canny} without holding the event loop: a small picture runs at once, a larger one on a thread that
 * the first such call starts and that does not keep the process alive while idle. One picture at a time; the pixels go
 * over in strips, copied, so the input stays the caller's (don't write to it before the promise settles) and no second
 * whole copy of it is made. Where WebAssembly's SIMD is missing every picture runs on the calling thread.
 *
 * @param options.signal abandons the picture, between two strips where it is under way.
 * @returns As `canny`: dtype uint8, shape [h, w], 255 on an edge, else 0; a new array.
 * @throws ServiceError INVALID_ARGUMENT and PAYLOAD_TOO_LARGE as `canny`; RESOURCE_EXHAUSTED when 64 pictures wait;
 * CANCELED when the signal fires, or its reason where that is a ServiceError; INTERNAL when the thread dies, after
 * which the next picture gets a new one.
 */
export async function cannyAsync(
  image: NDArray,
  low: number,
  high: number,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<NDArray<"uint8">> {
  if (signal?.aborted) throw canceled(signal);
  const input = cannyInput(image, low, high);
  const { width, height, channels } = input;
  // Rows are worked on 16 pixels at a time and cost something each, which counts in narrow pictures.
  const work = (Math.ceil(width / 16) * 16 + 64) * height * channels;
  if (work <= INLINE_WORK || !kernelModule()) return canny(image, low, high);
  if (waiting.length >= MAX_WAITING)
    throw new ServiceError("RESOURCE_EXHAUSTED", `${MAX_WAITING} pictures already wait for Canny`, { retryAfter: 1 });

  const edges = await new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
    const onAbort = () => abandon(job, canceled(signal!));
    const job: Job = {
      id: ++jobs,
      input,
      stripRows: Math.min(height, Math.max(1, Math.floor(STRIP_BYTES / (width * channels)))),
      nextRow: 0,
      settle(result) {
        signal?.removeEventListener("abort", onAbort);
        if (ServiceError.is(result)) reject(result);
        else resolve(result);
      },
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    waiting.push(job);
    startNext();
  });
  return new NDArray("uint8", [height, width], edges);
}

function startNext(): void {
  if (current) return;
  current = waiting.shift();
  if (!current) {
    worker?.unref();
    return;
  }
  worker ??= startWorker();
  worker.ref();
  const { id, input, stripRows } = current;
  const { width, height, channels, low, high } = input;
  send({ id, width, height, channels, low, high, stripRows });
  // Buffers of an abandoned picture may still be on their way back; new ones take their place.
  for (let i = 0; i < STRIPS; i++) sendStrip(current, strips.pop());
}

function sendStrip(job: Job, buffer: ArrayBuffer | undefined): void {
  const { pixels, width, height, channels } = job.input;
  const rowBytes = width * channels;
  const rows = Math.min(job.stripRows, height - job.nextRow);
  if (rows === 0) {
    keepStrip(buffer);
    return;
  }
  const strip = buffer && buffer.byteLength >= rows * rowBytes ? buffer : new ArrayBuffer(job.stripRows * rowBytes);
  new Uint8Array(strip).set(pixels.subarray(job.nextRow * rowBytes, (job.nextRow + rows) * rowBytes));
  job.nextRow += rows;
  send({ id: job.id, rows, strip }, [strip]);
}

function refill(job: Job, strip: ArrayBuffer): void {
  if (job === current) sendStrip(job, strip);
  else keepStrip(strip);
}

function keepStrip(buffer: ArrayBuffer | undefined): void {
  if (buffer && buffer.byteLength <= STRIP_BYTES && strips.length < STRIPS) strips.push(buffer);
}

function onReply({ id, strip, edges, tooLarge: refused }: ThreadReply): void {
  const job = current?.id === id ? current : undefined;
  if (strip) {
    // Node hands over up to 1000 messages before the event loop turns: refilling at once would keep it from turning.
    if (job) setImmediate(refill, job, strip);
    else keepStrip(strip);
  }
  if (!job) return;
  if (refused) finish(job, tooLarge(job.input.width, job.input.height));
  else if (edges) finish(job, new Uint8Array(edges));
}

function finish(job: Job, result: Uint8Array<ArrayBuffer> | ServiceError): void {
  current = undefined;
  job.settle(result);
  startNext();
}

function abandon(job: Job, reason: ServiceError): void {
  if (job === current) finish(job, reason);
  else {
    waiting = waiting.filter((other) => other !== job);
    job.settle(reason);
  }
}

function startWorker(): Worker {
  const workerData: ThreadData = { module: kernelModule()!, stackBytes: STACK_BYTES, keptBytes: KEPT_BYTES };
  const source = `(${cannyWorker})(require("node:worker_threads"))`;
  // Imported, it would take 2 ms of a process's first picture, small ones too.
  const { Worker } = process.getBuiltinModule("node:worker_threads");
  const started = new Worker(source, { eval: true, workerData, execArgv: [], env: {}, name: "canny" });
  let cause: unknown;
  started.on("message", onReply);
  started.on("error", (error) => {
    cause = error;
  });
  started.on("exit", (exitCode) => {
    worker = undefined;
    strips = [];
    cause ??= new Error(`the thread ended with exit code ${exitCode}`);
    if (current) finish(current, new ServiceError("INTERNAL", "the thread that runs Canny died", { cause }));
  });
  return started;
}

function send(message: ThreadMessage, transfer: ArrayBuffer[] = []): void {
  worker?.postMessage(message, transfer);
}

function canceled(signal: AbortSignal): ServiceError {
  if (ServiceError.is(signal.reason)) return signal.reason;
  return new ServiceError("CANCELED", "Canny was canceled", { cause: signal.reason });
}
