import { ServiceError } from "../errors/service-error.ts";
import { countBatch } from "../observability/metrics.ts";
import { type CallContext, withContext } from "./context.ts";
import type { BatchOptions } from "./contract.ts";

interface Waiting {
  readonly input: unknown;
  readonly context: CallContext;
  readonly since: number;
  readonly resolve: (output: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Gathers single calls into batches, one batch running at a time. A batch of n is taken to cost a + b n milliseconds,
 * learned by exponentially weighted least squares; an idle batcher holds n calls back for another one only while the
 * wait they all suffer costs less than the fixed part a that the next call would otherwise pay again. The idea is that
 * of Clipper's adaptive batching (Crankshaw et al., NSDI 2017), which BentoML follows too.
 */
export class Batcher {
  readonly #waiting: Waiting[] = [];
  readonly #service: string;
  readonly #api: string;
  readonly #options: Required<BatchOptions>;
  readonly #run: (inputs: unknown[], context: CallContext) => Promise<unknown[]>;
  readonly #cost = new BatchCost();
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #lastArrival: number | undefined;
  #arrivalGap = Number.POSITIVE_INFINITY;

  constructor(
    service: string,
    api: string,
    options: Required<BatchOptions>,
    run: (inputs: unknown[], context: CallContext) => Promise<unknown[]>,
  ) {
    this.#service = service;
    this.#api = api;
    this.#options = options;
    this.#run = run;
  }

  /**
   * Queues one input and gives its output.
   * @throws ServiceError UNAVAILABLE when it could not be answered within `maxLatencyMs`.
   */
  async submit(input: unknown, context: CallContext): Promise<unknown> {
    const now = performance.now();
    if (this.#lastArrival !== undefined) {
      const gap = now - this.#lastArrival;
      this.#arrivalGap = Number.isFinite(this.#arrivalGap) ? this.#arrivalGap + (gap - this.#arrivalGap) / 8 : gap;
    }
    this.#lastArrival = now;
    const { maxBatchSize, maxLatencyMs } = this.#options;
    const batchesAhead = Math.ceil((this.#waiting.length + 1) / maxBatchSize) + (this.#running ? 1 : 0);
    const expected = batchesAhead * this.#cost.of(Math.min(maxBatchSize, this.#waiting.length + 1));
    // With nothing before it a call always runs: one slow batch, such as the first, must not close the api for good.
    const idle = !this.#running && this.#waiting.length === 0;
    if (expected > maxLatencyMs && !idle) throw this.#late(expected);
    return new Promise((resolve, reject) => {
      const call: Waiting = { input, context, since: now, resolve, reject };
      this.#waiting.push(call);
      context.signal.addEventListener("abort", () => this.#forget(call), { once: true });
      this.#consider();
    });
  }

  #late(expectedMs: number): ServiceError {
    const { maxLatencyMs } = this.#options;
    return new ServiceError("UNAVAILABLE", `${this.#service}.${this.#api} cannot answer within ${maxLatencyMs} ms`, {
      retryAfter: Math.max(1, Math.ceil(expectedMs / 1000)),
    });
  }

  #forget(call: Waiting): void {
    const at = this.#waiting.indexOf(call);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    call.reject(call.context.signal.reason);
  }

  #consider(): void {
    clearTimeout(this.#timer);
    if (this.#running) return;
    const { maxBatchSize, maxLatencyMs } = this.#options;
    const now = performance.now();
    while (this.#waiting.length > 0 && now - this.#waiting[0]!.since > maxLatencyMs)
      this.#waiting.shift()!.reject(this.#late(this.#cost.of(1)));
    const n = this.#waiting.length;
    if (n === 0) return;
    const slack = maxLatencyMs - (now - this.#waiting[0]!.since) - this.#cost.of(n + 1);
    const quiet = now - this.#lastArrival!;
    const worthIt = n < maxBatchSize && n * this.#arrivalGap < this.#cost.fixed && quiet < 2 * this.#arrivalGap;
    if (worthIt && slack > this.#arrivalGap) {
      this.#timer = setTimeout(() => this.#consider(), Math.max(1, 2 * this.#arrivalGap - quiet));
      return;
    }
    void this.#dispatch(this.#waiting.splice(0, maxBatchSize));
  }

  async #dispatch(batch: Waiting[]): Promise<void> {
    this.#running = true;
    countBatch(this.#service, this.#api, batch.length);
    const started = performance.now();
    try {
      const context = batchContext(batch);
      const inputs = batch.map(({ input }) => input);
      // Not in the context of whichever call happened to set the batch off.
      const outputs = await withContext(context, () => this.#run(inputs, context));
      if (!Array.isArray(outputs) || outputs.length !== batch.length)
        throw new ServiceError("INTERNAL", `${this.#service}.${this.#api} must return one output an input`, {
          cause: new Error(`${batch.length} inputs, ${Array.isArray(outputs) ? outputs.length : "no"} outputs`),
        });
      this.#cost.learn(batch.length, performance.now() - started);
      batch.forEach(({ resolve }, i) => {
        resolve(outputs[i]);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running = false;
      this.#consider();
    }
  }
}

/** The batch is aborted once every one of its calls is, and may take as long as the most patient of them. */
function batchContext(batch: Waiting[]): CallContext {
  const [first] = batch as [Waiting, ...Waiting[]];
  if (batch.length === 1) return first.context;
  const controller = new AbortController();
  let left = batch.length;
  for (const { context } of batch)
    context.signal.addEventListener("abort", () => --left === 0 && controller.abort(context.signal.reason), {
      once: true,
    });
  return {
    ...first.context,
    signal: controller.signal,
    deadline: Math.max(...batch.map(({ context }) => context.deadline)),
    // It may speak of one call's input, and nobody knows of whose.
    warn: () => undefined,
    listened: batch.some(({ context }) => context.listened),
    progress: (fraction, preview) => {
      for (const { context } of batch) context.progress(fraction, preview);
    },
  };
}

/** Milliseconds of a batch of n as a + b n, by least squares in which old batches fade. */
class BatchCost {
  #weight = 0;
  #n = 0;
  #ms = 0;
  #nn = 0;
  #nms = 0;

  learn(n: number, ms: number): void {
    const fade = 0.95;
    this.#weight = this.#weight * fade + 1;
    this.#n = this.#n * fade + n;
    this.#ms = this.#ms * fade + ms;
    this.#nn = this.#nn * fade + n * n;
    this.#nms = this.#nms * fade + n * ms;
  }

  get #slope(): number {
    const spread = this.#weight * this.#nn - this.#n * this.#n;
    return spread > 1e-9 ? Math.max(0, (this.#weight * this.#nms - this.#n * this.#ms) / spread) : 0;
  }

  /** The part that every batch pays, whatever its size. */
  get fixed(): number {
    return this.#weight === 0 ? 0 : Math.max(0, (this.#ms - this.#slope * this.#n) / this.#weight);
  }

  of(n: number): number {
    return this.fixed + this.#slope * n;
  }
}
