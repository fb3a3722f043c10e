/**
 * Canny against native OpenCV on one thread, in the same run: `node test/bench/canny.bench.ts`. OpenCV comes from a
 * virtual environment that is made at .venv/canny on first use.
 *
 * Times are CPU time a call, which other processes on the machine disturb less than wall time; the rounds of the two
 * sides alternate, and a ratio is the median of the rounds' ratios. The first call is in wall time, in fresh processes.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { canny } from "#functions/vision/canny.ts";
import { cannyReference } from "#functions/vision/canny-reference.ts";
import type { NDArray } from "#shared/codec/ndarray.ts";
import { picture } from "../functions/vision/canny-patterns.ts";
import { pythonWith } from "../python.ts";
import { type BenchRow, figure, report } from "./bench-row.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SIZE = 1024;
const ROUNDS = 9;
const CALLS = 11;
/** With these 8 % of the RGB picture are edges, as in a detailed photograph. */
const THRESHOLDS = [30, 80] as const;

const OPENCV = `
import sys, time
import cv2, numpy as np
cv2.setNumThreads(1)
images = {}
for name, channels in (("rgb", 3), ("gray", 1)):
    image = np.fromfile(sys.argv[1] + "/" + name, np.uint8).reshape(${SIZE}, ${SIZE}, channels)
    images[name] = image if channels == 3 else image[..., 0].copy()
for line in sys.stdin:
    name, calls = line.split()
    start = time.process_time()
    for _ in range(int(calls)):
        edges = cv2.Canny(images[name], ${THRESHOLDS.join(", ")})
    print((time.process_time() - start) * 1e3 / int(calls), np.count_nonzero(edges), flush=True)
`;

/** CPU milliseconds a call. */
function cpuTime(calls: number, work: () => unknown): number {
  const start = process.cpuUsage();
  for (let i = 0; i < calls; i++) work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000 / calls;
}

async function warmCalls(): Promise<BenchRow[]> {
  const images = { rgb: picture("texture", SIZE, SIZE, 3, 1), gray: picture("texture", SIZE, SIZE, 1, 1) };
  const folder = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  for (const [name, image] of Object.entries(images)) writeFileSync(join(folder, name), image.data);
  const opencv = spawn(
    await pythonWith("canny", join(ROOT, "test/golden/canny/requirements.txt")),
    ["-c", OPENCV, folder],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const answers = createInterface(opencv.stdout)[Symbol.asyncIterator]();
  const native = async (name: string, calls: number): Promise<[time: number, edges: number]> => {
    opencv.stdin.write(`${name} ${calls}\n`);
    const { value = "" } = await answers.next();
    const [time = Number.NaN, edges = Number.NaN] = value.split(" ").map(Number);
    return [time, edges];
  };

  const rows: BenchRow[] = [];
  for (const [name, image] of Object.entries(images)) {
    const copy = new Uint8Array(image.data.length);
    const sides: Record<string, (image: NDArray) => unknown> = {
      canny: () => canny(image, ...THRESHOLDS),
      "TypeScript reference": () => cannyReference(image, ...THRESHOLDS),
      "copy of the input": () => copy.set(image.data),
    };
    for (const side of Object.values(sides)) cpuTime(8, () => side(image));
    const [, edges] = await native(name, 5);
    if (edges !== canny(image, ...THRESHOLDS).data.reduce((sum, value) => sum + (value & 1), 0))
      throw new Error(`OpenCV finds ${edges} edge pixels in ${name}; canny does not`);

    const base: number[] = [];
    const times = Object.fromEntries(Object.keys(sides).map((side) => [side, [] as number[]]));
    for (let round = 0; round < ROUNDS; round++) {
      base.push((await native(name, CALLS))[0]);
      for (const [side, work] of Object.entries(sides)) times[side]!.push(cpuTime(CALLS, () => work(image)));
    }
    const size = `${SIZE} x ${SIZE} ${name}`;
    rows.push(figure(`OpenCV ${size}`, base));
    for (const [side, values] of Object.entries(times))
      rows.push(figure(`${side} ${size}`, values, base, side === "canny" ? (name === "rgb" ? 0.5 : 1) : undefined));
  }
  opencv.stdin.end();
  await once(opencv, "exit");
  rmSync(folder, { recursive: true });
  return rows;
}

/** From the import of canny.ts to the end of its first call at 512 x 512, in a process that has run TypeScript before. */
const FIRST_CALL = `
  const { NDArray } = await import("#shared/codec/ndarray.ts");
  const data = Uint8Array.from({ length: 512 * 512 * 3 }, (_, i) => (i * i) >>> 7);
  const start = performance.now();
  const { canny } = await import("#functions/vision/canny.ts");
  canny(new NDArray("uint8", [512, 512, 3], data), 100, 200);
  console.log(performance.now() - start);`;

function firstCall(): BenchRow[] {
  const cache = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  const fresh = (env: NodeJS.ProcessEnv) =>
    Number(
      execFileSync(process.execPath, ["--input-type=module", "-e", FIRST_CALL], {
        cwd: ROOT,
        env: { ...process.env, ...env },
      }),
    );
  const plain: number[] = [];
  const cached: number[] = [];
  fresh({ NODE_COMPILE_CACHE: cache });
  for (let round = 0; round < ROUNDS; round++) {
    plain.push(fresh({ NODE_COMPILE_CACHE: undefined }));
    cached.push(fresh({ NODE_COMPILE_CACHE: cache }));
  }
  rmSync(cache, { recursive: true });
  return [
    figure(
      "first call, 512 x 512 rgb, module import included, with Node's compile cache as in serve",
      cached,
      undefined,
      30,
    ),
    figure("first call, the same without the cache: Node strips the types again", plain),
  ];
}

/** All figures of this file. */
export async function run(): Promise<BenchRow[]> {
  return [...(await warmCalls()), ...firstCall()];
}

if (import.meta.main) process.exitCode = report(await run()) > 0 ? 1 : 0;
