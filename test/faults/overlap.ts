/**
 * Whether the GPU works while the CPU does: `node test/faults/overlap.ts`. Pictures of 1024x1024 come at even intervals, as
 * many as the GPU can take, to the real entry (decoding, Canny), which reaches a GPU service through its queue whose GPU
 * takes 200 ms for each. The worker takes two calls at once, as the contract says: one in work, one at hand. To see what
 * that is good for, the same with one at once.
 * FAULTS_SECONDS (30) says how long the GPU is watched, after a warm-up.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { SDXLControlNetService } from "#shared/contracts/sdxl-controlnet.ts";
import { type BenchRow, report } from "../bench/bench-row.ts";
import { startEntry } from "./entry.ts";
import { atMost, percentile, seen } from "./figures.ts";
import { GPU_MS } from "./gpu-stub.ts";
import { Rig } from "./rig.ts";
import { Workers } from "./workers.ts";

const SECONDS = Number(process.env.FAULTS_SECONDS ?? 30);
const WARM_UP_SECONDS = 6;
const SIDE = 1024;
/** Share of the time in which the GPU may do nothing. */
const IDLE = 0.03;
const PICTURE = fileURLToPath(new URL("../../examples/cat-face.png", import.meta.url));

/** A picture's way through the GPU: milliseconds since the epoch. */
interface Job {
  came: number;
  began: number;
  done: number;
}

export async function run(): Promise<BenchRow[]> {
  const { concurrency } = SDXLControlNetService.traffic;
  const two = await overlap(concurrency, SECONDS);
  const one = await overlap(1, SECONDS / 2);
  return [
    seen("pictures watched", two.gaps.length),
    seen("calls that the worker takes at once", concurrency),
    atMost("share of the time in which the GPU does nothing", two.idle, "", IDLE),
    seen("between two pictures, median", percentile(two.gaps, 0.5), "ms"),
    seen("between two pictures, longest", two.gaps.at(-1)!, "ms"),
    seen("pictures that were not at hand when the GPU was free", two.late),
    seen("a picture, median", percentile(two.times, 0.5), "ms"),
    seen("a picture, 99th percentile", percentile(two.times, 0.99), "ms"),
    seen("one call at once: share of the time in which the GPU does nothing", one.idle),
    seen("one call at once: between two pictures, median", percentile(one.gaps, 0.5), "ms"),
  ];
}

interface Overlap {
  /** Share of the time in which the GPU did nothing. */
  idle: number;
  /** Milliseconds between two pictures, by their length. */
  gaps: number[];
  /** Pictures that came to the worker when the GPU was free already. */
  late: number;
  /** Milliseconds of the calls, by their length. */
  times: number[];
}

async function overlap(places: number, seconds: number): Promise<Overlap> {
  const { name } = SDXLControlNetService;
  await using rig = await Rig.start(name, { visibilityTimeout: 30, maxReceiveCount: 3 });
  const { location, storeUrl } = rig;
  const settings = { service: "SDXLControlNetService", urls: { url: location.queueUrl }, storeUrl, places } as const;
  await using _workers = await Workers.start(1, { ...settings, waitSeconds: 1 }, rig.env);
  await using entry = await startEntry("ControlNet", rig);
  const picture = await sharp(PICTURE).resize(SIDE, SIDE).png().toBuffer();
  const times = await steadily(entry.url, picture, seconds);
  const lines = readFileSync(rig.log, "utf8").trim().split("\n");
  const jobs = lines.map((line): Job => {
    const [came, began, done] = line.split(" ").map(Number) as [number, number, number];
    return { came, began, done };
  });
  const steady = jobs.filter(({ began }) => began > jobs[0]!.began + WARM_UP_SECONDS * 1000);
  const gaps = steady.slice(1).map(({ began }, i) => began - steady[i]!.done);
  const watched = steady.at(-1)!.began - steady[0]!.began;
  return {
    idle: gaps.reduce((sum, gap) => sum + gap, 0) / watched,
    gaps: gaps.sort((a, b) => a - b),
    late: steady.slice(1).filter(({ came }, i) => came > steady[i]!.done).length,
    times: times.sort((a, b) => a - b),
  };
}

/** Sends a picture each time the GPU could take one. @returns milliseconds of each. @throws Error where one fails. */
async function steadily(url: string, picture: Uint8Array, seconds: number): Promise<number[]> {
  const start = performance.now();
  const calls: Promise<number>[] = [];
  const count = ((seconds + WARM_UP_SECONDS) * 1000) / GPU_MS;
  for (let n = 0; n < count; n++) {
    await delay(Math.max(0, start + n * GPU_MS - performance.now()));
    calls.push(post(url, picture));
  }
  return Promise.all(calls);
}

async function post(url: string, picture: Uint8Array): Promise<number> {
  const start = performance.now();
  const body = new FormData();
  body.append("image", new Blob([picture as Uint8Array<ArrayBuffer>]), "picture.png");
  body.append("params", JSON.stringify({ prompt: "a cat" }));
  const response = await fetch(`${url}/generate`, { method: "POST", body });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
  return performance.now() - start;
}

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
