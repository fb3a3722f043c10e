import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import type { GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import { controlImage } from "../pipelines/image-processor.ts";
import type { PipelineOptions } from "../pipelines/sdxl-controlnet-pipeline.ts";
import {
  ABORT,
  BUSY,
  EVERY_JOB,
  type FromPipeline,
  type PipelineInfo,
  type PipelineWorkerData,
  SHARED_WORDS,
  type ToPipeline,
} from "./pipeline-messages.ts";

export type { PipelineInfo } from "./pipeline-messages.ts";

export interface PipelineThreadOptions extends PipelineOptions {
  /** Jobs that may wait behind the running one, default 16; one more is RESOURCE_EXHAUSTED. */
  queueSize?: number;
  /** Milliseconds before the first restart of a crashed thread, doubled up to a minute; default 250. */
  restartDelayMs?: number;
  /** Told of each crash and of each failed restart, for the log. */
  onCrash?: (error: Error) => void;
  /** The thread's script; another one stands in for it in tests. */
  script?: URL;
}

export interface GenerateOptions {
  /** Aborts the job: it leaves the queue, or stops between two steps. Its reason is thrown when a ServiceError. */
  signal?: AbortSignal | undefined;
  /** Called after each step, counted from 1. */
  onStep?: ((step: number, total: number, timings: StepTimings) => void) | undefined;
}

interface Job {
  id: number;
  params: GenerateParams;
  onStep: GenerateOptions["onStep"];
  resolve: (result: GeneratedImages) => void;
  reject: (error: unknown) => void;
}

const LONGEST_RESTART_DELAY_MS = 60_000;
const LONGEST_EXIT_DELAY_MS = 10_000;

/**
 * The pipeline in a thread of its own, because onnxruntime-node blocks the thread that runs a graph: here the event
 * loop stays free for health checks, heartbeats and the next request. Jobs run one at a time, in order.
 */
export class PipelineThread {
  readonly info: PipelineInfo;
  readonly #modelDir: string;
  readonly #options: PipelineThreadOptions;
  readonly #words: Int32Array<SharedArrayBuffer>;
  #worker: Worker | undefined;
  readonly #waiting: Job[] = [];
  #running: Job | undefined;
  #lastId = 0;
  #meanJobMs = 0;
  #closing = false;
  readonly #stop = new AbortController();
  #restarting = Promise.resolve();
  #idle = Promise.withResolvers<void>();

  private constructor(
    modelDir: string,
    options: PipelineThreadOptions,
    words: Int32Array<SharedArrayBuffer>,
    [worker, info]: Started,
  ) {
    this.#modelDir = modelDir;
    this.#options = options;
    this.#words = words;
    this.info = info;
    this.#adopt(worker);
  }

  /**
   * Starts the thread; resolves when the models are loaded and one run has warmed them up.
   * @throws ServiceError INTERNAL when the model folder or the options don't work; UNAVAILABLE when the thread dies.
   */
  static async start(modelDir: string, options: PipelineThreadOptions = {}): Promise<PipelineThread> {
    const words = new Int32Array(new SharedArrayBuffer(4 * SHARED_WORDS));
    return new PipelineThread(modelDir, options, words, await startWorker(modelDir, options, words));
  }

  /** True while the thread takes jobs: false after a crash, until it has come back, and once it closes. */
  get ready(): boolean {
    return this.#worker !== undefined && !this.#closing;
  }

  /** Jobs that run or wait. */
  get load(): number {
    return this.#waiting.length + (this.#running ? 1 : 0);
  }

  /**
   * Draws a call's pictures; parameters and their errors are the pipeline's. The control picture is copied, the result's
   * pixels are handed over without a copy.
   *
   * @throws ServiceError RESOURCE_EXHAUSTED when the queue is full; UNAVAILABLE when the thread crashes or isn't
   * there; CANCELED, or the signal's own ServiceError, when aborted.
   */
  generate(params: GenerateParams, { signal, onStep }: GenerateOptions = {}): Promise<GeneratedImages> {
    const { promise, resolve, reject } = Promise.withResolvers<GeneratedImages>();
    const refuse = (error: ServiceError): Promise<GeneratedImages> => Promise.reject(error);
    if (signal?.aborted) return refuse(abortReason(signal));
    if (!this.ready) return refuse(unavailable("the pipeline thread isn't ready"));
    const room = this.#options.queueSize ?? 16;
    if (this.#running && this.#waiting.length >= room) {
      const retryAfter = Math.max(1, Math.ceil((this.#meanJobMs * this.load) / 1000));
      return refuse(new ServiceError("RESOURCE_EXHAUSTED", `${room} jobs are waiting already`, { retryAfter }));
    }
    const job: Job = { id: ++this.#lastId, params, onStep, resolve, reject };
    const onAbort = (): void => {
      const place = this.#waiting.indexOf(job);
      if (place >= 0) this.#waiting.splice(place, 1);
      else if (this.#running === job) Atomics.store(this.#words, ABORT, job.id);
      job.onStep = undefined;
      reject(abortReason(signal!));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#waiting.push(job);
    this.#next();
    return promise.finally(() => signal?.removeEventListener("abort", onAbort));
  }

  /** Takes no more jobs, lets those that run and wait finish, then ends the thread. Never rejects. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#stop.abort();
    if (this.load > 0) await this.#idle.promise;
    await this.#restarting;
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    const exited = once(worker, "exit");
    worker.postMessage({ type: "close" } satisfies ToPipeline);
    await Promise.race([exited, delay(10_000, undefined, { ref: false })]);
    await worker.terminate();
  }

  #adopt(worker: Worker): void {
    let cause: Error | undefined;
    this.#worker = worker;
    worker.on("message", (message: FromPipeline) => this.#receive(message));
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    worker.on("exit", (code) => {
      if (this.#worker === worker) this.#crashed(cause ?? new Error(`the pipeline thread exited with code ${code}`));
    });
  }

  #next(): void {
    if (this.#running || !this.#worker) return;
    const job = this.#waiting.shift();
    if (!job) {
      this.#idle.resolve();
      this.#idle = Promise.withResolvers<void>();
      return;
    }
    try {
      // A copy of these pixels alone: a view would take the whole buffer under it along.
      const { data, height, width, channels } = controlImage(job.params.image);
      const image = { shape: [height, width, channels], data: data.slice() };
      const message: ToPipeline = { type: "generate", id: job.id, params: { ...job.params, image } };
      this.#worker.postMessage(message, [image.data.buffer]);
      this.#running = job;
    } catch (error) {
      job.reject(error);
      this.#next();
    }
  }

  #receive(message: FromPipeline): void {
    const job = this.#running;
    if (!job || !("id" in message) || message.id !== job.id) return;
    if (message.type === "step") {
      try {
        job.onStep?.(message.step, message.total, message.timings);
      } catch (error) {
        job.reject(error);
        Atomics.store(this.#words, ABORT, job.id);
      }
      return;
    }
    if (message.type === "done") {
      const { images, timings, ...rest } = message.result;
      const jobMs = timings.encodeMs + timings.denoiseMs + timings.decodeMs;
      this.#meanJobMs = this.#meanJobMs === 0 ? jobMs : 0.8 * this.#meanJobMs + 0.2 * jobMs;
      job.resolve({ ...rest, timings, images: images.map(({ shape, data }) => new NDArray("uint8", shape, data)) });
    } else {
      const error = ServiceError.fromJSON(message.error);
      job.reject(message.cause === undefined ? error : withCause(error, message.cause));
    }
    this.#running = undefined;
    this.#next();
  }

  #crashed(error: Error): void {
    this.#worker = undefined;
    const pending = [...(this.#running ? [this.#running] : []), ...this.#waiting.splice(0)];
    this.#running = undefined;
    for (const job of pending) job.reject(unavailable("the pipeline thread crashed", error));
    this.#idle.resolve();
    this.#idle = Promise.withResolvers<void>();
    this.#tell(error);
    if (!this.#closing) this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    let wait = this.#options.restartDelayMs ?? 250;
    while (!this.#closing) {
      try {
        await delay(wait, undefined, { ref: false, signal: this.#stop.signal });
        const [worker] = await startWorker(this.#modelDir, this.#options, this.#words);
        if (this.#closing) await worker.terminate();
        else this.#adopt(worker);
        return;
      } catch (error) {
        if (!this.#closing) this.#tell(error as Error);
        wait = Math.min(wait * 2, LONGEST_RESTART_DELAY_MS);
      }
    }
  }

  #tell(error: Error): void {
    try {
      this.#options.onCrash?.(error);
    } catch {
      // A log that fails must not keep the thread from coming back.
    }
  }
}

type Started = readonly [worker: Worker, info: PipelineInfo];

async function startWorker(
  modelDir: string,
  { queueSize: _, restartDelayMs: __, onCrash: ___, script, ...options }: PipelineThreadOptions,
  words: Int32Array<SharedArrayBuffer>,
): Promise<Started> {
  words.fill(0);
  // onnxruntime 1.30 sends usage data to Microsoft unless it is told not to, in the process's own environment.
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
  const worker = new Worker(script ?? new URL("./pipeline-thread-worker.ts", import.meta.url), {
    name: "pipeline",
    workerData: { modelDir, options, shared: words.buffer } satisfies PipelineWorkerData,
  });
  // A process that exits while the thread is inside onnxruntime dies of the native exception that follows (SIGABRT).
  const onProcessExit = (): void => {
    Atomics.store(words, ABORT, EVERY_JOB);
    Atomics.wait(words, BUSY, 1, LONGEST_EXIT_DELAY_MS);
  };
  process.on("exit", onProcessExit);
  worker.on("exit", () => {
    process.off("exit", onProcessExit);
    Atomics.store(words, BUSY, 0);
  });
  const { promise, resolve, reject } = Promise.withResolvers<Started>();
  worker.on("message", (message: FromPipeline) => {
    if (message.type === "ready") resolve([worker, message.info]);
    if (message.type === "refused") reject(withCause(ServiceError.fromJSON(message.error), message.cause));
  });
  worker.on("error", (error) => reject(unavailable("the pipeline thread crashed while it started", error)));
  worker.on("exit", (code) => reject(unavailable(`the pipeline thread exited with code ${code} while it started`)));
  return promise;
}

function unavailable(message: string, cause?: unknown): ServiceError {
  return new ServiceError("UNAVAILABLE", message, { retryAfter: 5, ...(cause !== undefined && { cause }) });
}

function withCause(error: ServiceError, cause: unknown): ServiceError {
  return new ServiceError(error.code, error.message, { ...(error.detail && { detail: error.detail }), cause });
}

function abortReason(signal: AbortSignal): ServiceError {
  if (ServiceError.is(signal.reason)) return signal.reason;
  return new ServiceError("CANCELED", "the call was canceled", { cause: signal.reason });
}
