import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PipelineThread } from "#gpu-worker/runtime/pipeline-thread.ts";
import { NDArray } from "#shared/codec/ndarray.ts";
import { pythonWith } from "../python.ts";
import { type BenchRow, figure, report } from "./bench-row.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const MODEL = path("../../gpu-worker/model");
const SIZES = [128, 64];
const CASE = { prompt: "a red house on a blue background", steps: 25, guidance: 5, scale: 0.5 };

/**
 * Measures one picture (128 and 64 px, 25 steps, guidance) through the pipeline thread and through diffusers on the same
 * weights, in turns, on this machine's CPU with each library's own number of threads.
 *
 * diffusers comes from a virtual environment that is made at .venv/diffusers on first use. Environment:
 * `TANDEM_BENCH_ROUNDS` default 7.
 */
export async function run(): Promise<BenchRow[]> {
  const rounds = Number(process.env.TANDEM_BENCH_ROUNDS ?? 7);
  const thread = await PipelineThread.start(MODEL);
  const diffusers = await startDiffusers();
  const rows: BenchRow[] = [];
  try {
    for (const size of SIZES) rows.push(...(await compare(size, thread, diffusers, rounds)));
  } finally {
    diffusers.stop();
    await thread.close();
  }
  return rows;
}

type Diffusers = Awaited<ReturnType<typeof startDiffusers>>;

async function compare(
  size: number,
  thread: PipelineThread,
  diffusers: Diffusers,
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
  await diffusers.draw(size);
  for (let round = 0; round < rounds; round++) {
    // The order turns each round, so that neither always finds the machine as the other left it.
    if (round % 2 === 0) await measureOurs();
    theirs.push(await diffusers.draw(size));
    if (round % 2 === 1) await measureOurs();
  }
  const what = `${size} px, ${CASE.steps} steps`;
  const loop = figure(`denoising loop, to its graph runs, ${what}`, loops, runs, 1.03);
  return [
    loop,
    figure(`diffusers' picture on the CPU, ${what}`, theirs),
    figure(`picture, to diffusers', ${what}`, ours, theirs, 0.4),
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

async function startDiffusers() {
  const python = await pythonWith("diffusers", path("../golden/pipeline/requirements.txt"));
  const child = spawn(python, [path("pipeline_diffusers.py"), MODEL], { stdio: ["pipe", "pipe", "ignore"] });
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

function boxOutline(size: number): NDArray<"uint8"> {
  const [near, far] = [size / 4, size - size / 4 - 1];
  const on = (y: number, x: number): boolean =>
    ((y === near || y === far) && x >= near && x <= far) || ((x === near || x === far) && y >= near && y <= far);
  const data = Uint8Array.from({ length: size * size }, (_, i) => (on(Math.floor(i / size), i % size) ? 255 : 0));
  return new NDArray("uint8", [size, size], data);
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
