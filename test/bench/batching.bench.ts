import { fileURLToPath } from "node:url";
import { executionProviderFromEnvironment } from "#gpu-worker/onnx/execution-provider.ts";
import type { GenerateParams } from "#gpu-worker/pipelines/generate-params.ts";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { type BenchRow, figure, report } from "./bench-row.ts";

const MODEL = fileURLToPath(new URL("../../gpu-worker/model", import.meta.url));
const CALLS = 8;
/** Side and steps of a picture. */
const USUAL = { size: 128, steps: 25 };
const SHORT = { size: 64, steps: 4 };
const SHORT_CALLS = 20;
const LONG_CALLERS = 3;

/**
 * Measures how calls get on beside each other on the pipeline thread, with the bundled model and guidance:
 *
 * - eight calls that come a step apart, to the same eight one after another, each sent when the one before was answered:
 *   with batching as it is on this machine by its own measurement and, where that is off, forced. The bound holds where it is on.
 * - what 95 in 100 short calls take beside three callers that always have a long one under way, to the same in the order
 *   of coming, as without turns.
 *
 * Environment: `TANDEM_BENCH_ROUNDS` default 2; `TANDEM_EXECUTION_PROVIDER`.
 */
export async function run(): Promise<BenchRow[]> {
  const rounds = Number(process.env.TANDEM_BENCH_ROUNDS ?? 2);
  const rows: BenchRow[] = [];
  await using own = await Machine.start("auto");
  rows.push(await own.together(rounds, own.on ? "on" : "off", own.on ? 0.6 : undefined));
  rows.push(await own.shortAmongLong(rounds));
  if (!own.on) {
    await using forced = await Machine.start("on");
    rows.push(await forced.together(rounds, "forced"));
  }
  return rows;
}

/** A pipeline thread, and what hears its runs. */
class Machine {
  readonly #thread: PipelineThread;
  readonly #onRun: { heard: () => void };

  private constructor(thread: PipelineThread, onRun: { heard: () => void }) {
    this.#thread = thread;
    this.#onRun = onRun;
  }

  static async start(mode: "auto" | "on"): Promise<Machine> {
    const onRun = { heard: () => {} };
    const thread = await PipelineThread.start(MODEL, {
      batching: { mode },
      executionProvider: executionProviderFromEnvironment(),
      onRun: () => onRun.heard(),
    });
    const { calls, measured } = thread.info.batching;
    const ratios = measured.map(({ calls: size, ratio }) => `${size} calls ${ratio.toFixed(2)}`).join(", ");
    console.log(`batching ${mode}: ${calls} calls a run at most; a shared run's time to its calls' alone: ${ratios}`);
    return new Machine(thread, onRun);
  }

  /** Calls share runs here. */
  get on(): boolean {
    return this.#thread.info.batching.calls > 1;
  }

  async together(rounds: number, how: string, bound?: number): Promise<BenchRow> {
    const [apart, inTurn]: [number[], number[]] = [[], []];
    await this.#draw(USUAL, 0);
    for (let round = 0; round < rounds; round++) {
      apart.push(await milliseconds(() => this.#aStepApart()));
      inTurn.push(await milliseconds(() => this.#oneAfterAnother()));
    }
    return figure(`${CALLS} calls a step apart, to one after another, batching ${how}`, apart, inTurn, bound);
  }

  async shortAmongLong(rounds: number): Promise<BenchRow> {
    const [turns, order]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      turns.push(await this.#latencyAmongLong((draw) => draw()));
      order.push(await this.#latencyAmongLong(inOrder()));
    }
    return figure("p95 of short calls among long ones, to that in the order of coming", turns, order, 0.5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread.close();
  }

  /** The first call, and another each time that a run has ended. */
  async #aStepApart(): Promise<void> {
    const calls = [this.#draw(USUAL, 0)];
    const { promise: allSent, resolve } = Promise.withResolvers<void>();
    this.#onRun.heard = () => {
      if (calls.length < CALLS) calls.push(this.#draw(USUAL, calls.length));
      else resolve();
    };
    await allSent;
    await Promise.all(calls);
  }

  async #oneAfterAnother(): Promise<void> {
    this.#onRun.heard = () => {};
    for (let seed = 0; seed < CALLS; seed++) await this.#draw(USUAL, seed);
  }

  /** @param send has a call drawn, at once or later. */
  async #latencyAmongLong(send: (draw: () => Promise<void>) => Promise<void>): Promise<number> {
    let ended = false;
    const longs = Array.from({ length: LONG_CALLERS }, async (_, seed) => {
      while (!ended) await send(() => this.#draw(USUAL, seed));
    });
    const latencies: number[] = [];
    for (let seed = 0; seed < SHORT_CALLS; seed++)
      latencies.push(await milliseconds(() => send(() => this.#draw(SHORT, seed))));
    ended = true;
    await Promise.all(longs);
    return latencies.toSorted((a, b) => a - b)[Math.ceil(0.95 * SHORT_CALLS) - 1]!;
  }

  async #draw({ size, steps }: typeof USUAL, seed: number): Promise<void> {
    const image = new NDArray("uint8", [size, size], new Uint8Array(size * size));
    const params: GenerateParams = { prompt: "a red house", image, numInferenceSteps: steps, seed };
    await this.#thread.generate(params);
  }
}

/** Lets each call begin when the one sent before it has ended. */
function inOrder(): (draw: () => Promise<void>) => Promise<void> {
  let last = Promise.resolve();
  return (draw) => {
    last = last.then(draw);
    return last;
  };
}

async function milliseconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
