/**
 * The whole job beside BentoML: `node test/bench/bentoml.bench.ts`. A picture is posted to the entry, its edges go to the
 * second service, whose stub of a model gives them back as the picture. Both frameworks run all the while, one process a
 * service, and are loaded in turns: seconds on end by the same requests. A value is Tandem's median of the rounds, a
 * ratio the median of the rounds' ratios to BentoML. Linux only: CPU time is read from /proc.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { serveProject } from "../e2e/served-project.ts";
import { pythonWith } from "../python.ts";
import { type BenchRow, figure, median, report } from "./bench-row.ts";
import { picture } from "./bentoml/picture.ts";
import { closedLoop, type Load, rawPost } from "./closed-loop.ts";

const ROUNDS = 5;
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** What is asked for: at most 0.6 of BentoML's time on a large picture, a quarter on a small one, thrice its rate. */
const LOADS = [
  { side: 1024, concurrency: 1, seconds: 3, bound: 0.6 },
  { side: 1024, concurrency: 8, seconds: 4, bound: 0.6 },
  { side: 64, concurrency: 1, seconds: 1.5, bound: 1 / 4 },
  { side: 64, concurrency: 8, seconds: 1.5, bound: 1 / 3 },
  { side: 64, concurrency: 32, seconds: 2, bound: 1 / 3 },
] as const;

interface Server extends AsyncDisposable {
  readonly url: string;
  /** The process whose children do the work. */
  readonly pid: number;
}

interface Measured extends Load {
  /** Milliseconds that all of the server's processes computed. */
  cpu: number;
}

export async function run(): Promise<BenchRow[]> {
  await using bentoml = await serveBentoml();
  await using tandem = await serveTandem();
  const sides = { tandem, bentoml };
  const rows: BenchRow[] = [];
  const failed = { tandem: 0, bentoml: 0 };
  for (const { side, concurrency, seconds, bound } of LOADS) {
    const file = await picture(side);
    const results: Record<keyof typeof sides, Measured[]> = { tandem: [], bentoml: [] };
    for (let round = -1; round < ROUNDS; round++)
      for (const [name, server] of Object.entries(sides) as [keyof typeof sides, Server][]) {
        const measured = await measure(server, file, side, concurrency, round < 0 ? 1 : seconds);
        failed[name] += measured.failed;
        if (round >= 0) results[name].push(measured);
      }
    const compare = (what: string, of: (result: Measured) => number, bound?: number): void => {
      const ours = figure(
        `${side}x${side}, ${concurrency} at once: ${what}`,
        results.tandem.map(of),
        results.bentoml.map(of),
        bound,
      );
      rows.push(ours);
    };
    if (concurrency === 1) compare("answer", ({ times }) => median(times), bound);
    else compare("time an answer", ({ elapsed, answered }) => elapsed / answered, bound);
    compare("CPU time an answer", ({ cpu, answered }) => cpu / answered);
  }
  for (const [name, count] of Object.entries(failed))
    rows.push({
      ...{ name: `calls that failed: ${name}`, value: count, unit: "", spread: [count, count] },
      ...(name === "tandem" && { bound: 0 }),
    });
  return rows;
}

async function measure(
  server: Server,
  file: Buffer,
  side: number,
  concurrency: number,
  seconds: number,
): Promise<Measured> {
  const body = new FormData();
  body.append("image", new Blob([file as Uint8Array<ArrayBuffer>], { type: "image/png" }), "picture.png");
  // Tandem would scale to the model's size; this keeps the picture's own, as BentoML does, which ignores the two.
  const params = { prompt: "p", negative_prompt: "n", num_inference_steps: 25, width: side, height: side };
  body.append("params", JSON.stringify(params));
  const request = await rawPost(`${server.url}/generate`, body);
  const before = cpuOf(server.pid);
  const load = await closedLoop(server.url, request, concurrency, seconds);
  return { ...load, cpu: cpuOf(server.pid) - before };
}

async function serveTandem(): Promise<Server> {
  const served = await serveProject(["--workers", "1"], {}, here("bentoml/project"));
  return { url: served.url, pid: served.process.pid!, [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() };
}

async function serveBentoml(): Promise<Server> {
  const python = await pythonWith("bentoml", here("bentoml/requirements.txt"));
  const port = String(await freePort());
  const bento = spawn(
    python,
    [
      ...["-m", "bentoml", "serve", "service:ControlNet", "--working-dir", here("bentoml")],
      ...["--host", "127.0.0.1", "--port", port],
    ],
    { stdio: "ignore", env: { ...process.env, BENTOML_DO_NOT_TRACK: "True" }, detached: true },
  );
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    if (bento.exitCode !== null) return;
    process.kill(-bento.pid!, "SIGTERM");
    await new Promise((resolve) => bento.once("exit", resolve));
  };
  for (let attempt = 0; attempt < 450; attempt++) {
    const ready = await fetch(`${url}/readyz`).catch(() => undefined);
    if (ready?.ok) return { url, pid: bento.pid!, [Symbol.asyncDispose]: stop };
    if (bento.exitCode !== null) break;
    await delay(200);
  }
  await stop();
  throw new Error("bentoml serve does not become ready");
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Milliseconds that a process and what it started computed so far; Linux counts in hundredths of a second. */
function cpuOf(pid: number): number {
  try {
    // Fields after the name, which may hold anything: utime and stime are 14 and 15 of proc_pid_stat(5).
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ");
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").trim().split(" ").filter(Boolean).map(Number),
    );
    return children.reduce((sum, child) => sum + cpuOf(child), (Number(fields[11]) + Number(fields[12])) * 10);
  } catch {
    return 0;
  }
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
