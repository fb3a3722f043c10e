import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { NDArray } from "#shared/codec/ndarray.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import type { GeneratedImages, GenerateParams, StepTimings } from "../pipelines/generate-params.ts";
import { controlImage } from "../pipelines/image-processor.ts";
import type { PipelineOptions } from "../pipelines/sdxl-controlnet-pipeline.ts";
import type { Batching, BatchingSettings } from "./batching.ts";
import {
  BUSY,
  type FromPipeline,
  type PipelineInfo,
  type PipelineWorkerData,
  SHARED_WORDS,
  STOP,
  type ToPipeline,
} from "./pipeline-messages.ts";

export type { PipelineInfo } from "./pipeline-messages.ts";

export interface PipelineThreadOptions extends PipelineOptions {
  /** Jobs that may wait behind one, default 16; one more is RESOURCE_EXHAUSTED. */
  queueSize?: number;
  /** Default `auto`: calls share runs where that was measured to be worth it. */
  batching?: BatchingSettings;
  /** Milliseconds before the first restart of a crashed thread, doubled up to a minute; default 250. */
  restartDelayMs?: number;
  /** Told of each run of the graph: how many calls shared it. */
  onRun?: (calls: number) => void;
  /** Told of a shared run that failed, and of how many calls share one at most until enough have gone well. */
  onNarrowed?: (calls: number, error: ServiceError) => void;
  /** Told of each crash and of each failed restart, for the log. */
  onCrash?: (error: Error) => void;
  /** The thread's script; another one stands in for it in tests. */
  script?: URL;
}

export interface GenerateOptions {
  /** Aborts the job: it takes no further step. Its reason is thrown when a ServiceError. */
  signal?: AbortSignal | undefined;
  /** Called after each step, counted from 1. */
  onStep?: ((step: number, total: number, timings: StepTimings) => void) | undefined;
}

interface Job {
  onStep: GenerateOptions["onStep"];
  resolve: (result: GeneratedImages) => void;
  reject: (error: unknown) => void;
}

const LONGEST_RESTART_DELAY_MS = 60_000;
const LONGEST_EXIT_DELAY_MS = 10_000;

/**
 * The pipeline in a thread of its own, because onnxruntime-node blocks the thread that runs a graph: here the event
 * loop stays free for health checks, heartbeats and the next request. Jobs take turns there, step by step, or share runs.
 */
export class PipelineThread {
  readonly info: PipelineInfo;
  readonly #modelDir: string;
  readonly #options: PipelineThreadOptions;
  readonly #words: Int32Array<SharedArrayBuffer>;
  #worker: Worker | undefined;
  /** Those that the thread has, by their ids. */
  readonly #jobs = new Map<number, Job>();
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
    const batching = options.batching ?? { mode: "auto" };
    return new PipelineThread(modelDir, options, words, await startWorker(modelDir, options, batching, words));
  }

  /** True while the thread takes jobs: false after a crash, until it has come back, and once it closes. */
  get ready(): boolean {
    return this.#worker !== undefined && !this.#closing;
  }

  /** Jobs that run or wait. */
  get load(): number {
    return this.#jobs.size;
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
    const refuse = (error: unknown): Promise<GeneratedImages> => Promise.reject(error);
    if (signal?.aborted) return refuse(abortReason(signal));
    if (!this.ready) return refuse(unavailable("the pipeline thread isn't ready"));
    const room = this.#options.queueSize ?? 16;
    if (this.load > room) {
      const retryAfter = Math.max(1, Math.ceil((this.#meanJobMs * this.load) / 1000));
      return refuse(new ServiceError("RESOURCE_EXHAUSTED", `${room} jobs are waiting already`, { retryAfter }));
    }
    const id = ++this.#lastId;
    try {
      // A copy of these pixels alone: a view would take the whole buffer under it along.
      const { data, height, width, channels } = controlImage(params.image);
      const image = { shape: [height, width, channels], data: data.slice() };
      this.#send({ type: "generate", id, params: { ...params, image } }, [image.data.buffer]);
    } catch (error) {
      return refuse(error);
    }
    this.#jobs.set(id, { onStep, resolve, reject });
    const onAbort = (): void => this.#cancel(id, abortReason(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
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

  #send(message: ToPipeline, transfer: ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  #cancel(id: number, error: unknown): void {
    this.#end(id)?.reject(error);
    this.#send({ type: "cancel", id });
  }

  /** The job, which the thread has no more. */
  #end(id: number): Job | undefined {
    const job = this.#jobs.get(id);
    if (this.#jobs.delete(id) && this.load === 0) this.#becomeIdle();
    return job;
  }

  #becomeIdle(): void {
    this.#idle.resolve();
    this.#idle = Promise.withResolvers<void>();
  }

  /** Answers of jobs that were canceled meanwhile are nobody's. */
  #receive(message: FromPipeline): void {
    if (message.type === "stepped") {
      for (const { id, step, total } of message.steps) this.#tellStep(id, step, total, message.timings);
      this.#tell(() => this.#options.onRun?.(message.steps.length));
    } else if (message.type === "done") {
      const { images, timings, ...rest } = message.result;
      const jobMs = timings.encodeMs + timings.denoiseMs + timings.decodeMs;
      this.#meanJobMs = this.#meanJobMs === 0 ? jobMs : 0.8 * this.#meanJobMs + 0.2 * jobMs;
      const pictures = images.map(({ shape, data }) => new NDArray("uint8", shape, data));
      this.#end(message.id)?.resolve({ ...rest, timings, images: pictures });
    } else if (message.type === "failed") {
      const error = ServiceError.fromJSON(message.error);
      this.#end(message.id)?.reject(message.cause === undefined ? error : withCause(error, message.cause));
    } else if (message.type === "narrowed")
      this.#tell(() => this.#options.onNarrowed?.(message.calls, ServiceError.fromJSON(message.error)));
  }

  #tellStep(id: number, step: number, total: number, timings: StepTimings): void {
    try {
      this.#jobs.get(id)?.onStep?.(step, total, timings);
    } catch (error) {
      this.#cancel(id, error);
    }
  }

  #crashed(error: Error): void {
    this.#worker = undefined;
    const pending = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const job of pending) job.reject(unavailable("the pipeline thread crashed", error));
    this.#becomeIdle();
    this.#tell(() => this.#options.onCrash?.(error));
    if (!this.#closing) this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    let wait = this.#options.restartDelayMs ?? 250;
    while (!this.#closing) {
      try {
        await delay(wait, undefined, { ref: false, signal: this.#stop.signal });
        const [worker] = await startWorker(this.#modelDir, this.#options, this.info.batching, this.#words);
        if (this.#closing) await worker.terminate();
        else this.#adopt(worker);
        return;
      } catch (error) {
        if (!this.#closing) this.#tell(() => this.#options.onCrash?.(error as Error));
        wait = Math.min(wait * 2, LONGEST_RESTART_DELAY_MS);
      }
    }
  }

  #tell(listener: () => void): void {
    try {
      listener();
    } catch {
      // A log or a metric that fails must not keep the thread from its work.
    }
  }
}

type Started = readonly [worker: Worker, info: PipelineInfo];

async function startWorker(
  modelDir: string,
  given: PipelineThreadOptions,
  batching: BatchingSettings | Batching,
  words: Int32Array<SharedArrayBuffer>,
): Promise<Started> {
  const {
    queueSize: _,
    batching: __,
    restartDelayMs: ___,
    onRun: ____,
    onNarrowed: _____,
    onCrash: ______,
    script,
    ...options
  } = given;
  words.fill(0);
  // onnxruntime 1.30 sends usage data to Microsoft unless it is told not to, in the process's own environment.
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
  const worker = new Worker(script ?? new URL("./pipeline-thread-worker.ts", import.meta.url), {
    name: "pipeline",
    workerData: { modelDir, options, batching, shared: words.buffer } satisfies PipelineWorkerData,
  });
  // A process that exits while the thread is inside onnxruntime dies of the native exception that follows (SIGABRT).
  const onProcessExit = (): void => {
    Atomics.store(words, STOP, 1);
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
