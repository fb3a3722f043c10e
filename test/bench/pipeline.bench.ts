import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";

/** One figure of a benchmark. */
export interface BenchRow {
  name: string;
  /** Median of the rounds. */
  value: number;
  unit: string;
  /** Against what the name says, median of the rounds' ratios; must not be over `bound`. */
  ratio?: number;
  bound?: number;
  /** Smallest and largest value of the rounds. */
  spread: [number, number];
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const MODEL = path("../../gpu-worker/model");
const SIZES = [128, 64];
const CASE = { prompt: "a red house on a blue background", steps: 25, guidance: 5, scale: 0.5 };

/**
 * Measures one picture (128 and 64 px, 25 steps, guidance) through the pipeline thread and through diffusers on the same
 * weights, in turns, on this machine's CPU with each library's own number of threads.
 *
 * Environment: `TANDEM_BENCH_PYTHON` a Python with test/golden/pipeline/requirements.txt (else .venv/bench is made),
 * `TANDEM_TRAIN_WEIGHTS` the torch weights (else ../shared/model/train; without them the comparison is left out),
 * `TANDEM_BENCH_ROUNDS` default 7.
 */
export async function run(): Promise<BenchRow[]> {
  const rounds = Number(process.env.TANDEM_BENCH_ROUNDS ?? 7);
  const weights = process.env.TANDEM_TRAIN_WEIGHTS ?? path("../../../shared/model/train");
  const thread = await PipelineThread.start(MODEL);
  const diffusers = existsSync(weights) ? await startDiffusers(weights) : undefined;
  const rows: BenchRow[] = [];
  try {
    for (const size of SIZES) rows.push(...(await compare(size, thread, diffusers, rounds)));
  } finally {
    diffusers?.stop();
    await thread.close();
  }
  return rows;
}

type Diffusers = Awaited<ReturnType<typeof startDiffusers>>;

async function compare(
  size: number,
  thread: PipelineThread,
  diffusers: Diffusers | undefined,
  rounds: number,
): Promise<BenchRow[]> {
  const ours: number[] = [];
  const loops: number[] = [];
  const runs: number[] = [];
  const theirs: number[] = [];
  const measureOurs = async (): Promise<void> => {
    const { totalMs, denoiseMs, denoiseRunMs } = await drawOurs(thread, size);
    ours.push(totalMs);
    loops.push(denoiseMs);
    runs.push(denoiseRunMs);
  };
  await drawOurs(thread, size);
  await diffusers?.draw(size);
  for (let round = 0; round < rounds; round++) {
    // The order turns each round, so that neither always finds the machine as the other left it.
    if (round % 2 === 0) await measureOurs();
    if (diffusers) theirs.push(await diffusers.draw(size));
    if (round % 2 === 1) await measureOurs();
  }
  const what = `${size} px, ${CASE.steps} steps`;
  const loop = { ...summary(`denoising loop / its graph runs, ${what}`, loops), ...against(loops, runs, 1.03) };
  if (!diffusers) return [loop, summary(`picture, ${what}`, ours)];
  const fastest = Math.min(...ours) / Math.min(...theirs);
  return [
    loop,
    { ...summary(`picture / diffusers' on the CPU, ${what}`, ours), ...against(ours, theirs, 0.4) },
    summary(`diffusers' picture, ${what}`, theirs),
    {
      name: `fastest picture / diffusers' fastest, ${what}`,
      value: fastest,
      unit: "ratio",
      spread: [fastest, fastest],
    },
  ];
}

async function drawOurs(thread: PipelineThread, size: number) {
  const start = performance.now();
  const { timings } = await thread.generate({
    prompt: CASE.prompt,
    image: boxOutline(size),
    numInferenceSteps: CASE.steps,
    guidanceScale: CASE.guidance,
    controlnetConditioningScale: CASE.scale,
    seed: 1,
  });
  return { totalMs: performance.now() - start, ...timings };
}

async function startDiffusers(weights: string) {
  const child = spawn(python(), [path("pipeline_diffusers.py"), MODEL, weights], { stdio: ["pipe", "pipe", "ignore"] });
  const failed = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`pipeline_diffusers.py ended with code ${code}`)));
  });
  failed.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => JSON.parse((await Promise.race([lines.next(), failed])).value ?? "null");
  await answer();
  return {
    draw: async (size: number): Promise<number> => {
      child.stdin.write(`${JSON.stringify({ ...CASE, size })}\n`);
      return (await answer()).seconds * 1000;
    },
    stop: (): void => void child.stdin.end(),
  };
}

/** The Python to use; makes `.venv/bench` with pip on first use. */
function python(): string {
  const given = process.env.TANDEM_BENCH_PYTHON;
  if (given) return given;
  const folder = path("../../.venv/bench");
  if (!existsSync(`${folder}/ready`)) {
    execFileSync("python3", ["-m", "venv", folder], { stdio: "inherit" });
    const requirements = path("../golden/pipeline/requirements.txt");
    execFileSync(`${folder}/bin/pip`, ["install", "--quiet", "-r", requirements], { stdio: "inherit" });
    execFileSync("touch", [`${folder}/ready`]);
  }
  return `${folder}/bin/python`;
}

function boxOutline(size: number): NDArray<"uint8"> {
  const [near, far] = [size / 4, size - size / 4 - 1];
  const on = (y: number, x: number): boolean =>
    ((y === near || y === far) && x >= near && x <= far) || ((x === near || x === far) && y >= near && y <= far);
  const data = Uint8Array.from({ length: size * size }, (_, i) => (on(Math.floor(i / size), i % size) ? 255 : 0));
  return new NDArray("uint8", [size, size], data);
}

function summary(name: string, values: readonly number[]): BenchRow {
  return { name, value: median(values), unit: "ms", spread: [Math.min(...values), Math.max(...values)] };
}

/** Each round is compared with itself, so that what slows the machine for a while slows both sides. */
function against(values: readonly number[], other: readonly number[], bound: number) {
  return { ratio: median(values.map((value, i) => value / other[i]!)), bound };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

if (import.meta.main) {
  const rows = await run();
  console.table(rows.map((row) => ({ ...row, spread: row.spread.map((value) => +value.toFixed(3)).join(" .. ") })));
  if (rows.some(({ ratio, bound }) => ratio !== undefined && bound !== undefined && ratio > bound))
    process.exitCode = 1;
}
