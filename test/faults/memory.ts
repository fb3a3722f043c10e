import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

/**
 * For processes whose memory is watched: V8 doubles the room for new objects whenever much is alive, for a minute and more,
 * which looks like a leak; here it has one size from the start. And the garbage collector may be called.
 */
export const STEADY_HEAP = ["--min-semi-space-size=16", "--max-semi-space-size=16", "--expose-gc"];

/** What a process says of its memory: bytes. */
interface Memory {
  /** Physical memory. */
  rss: number;
  /** Objects and buffers that are in use, where the garbage collector was called before. */
  used: number;
}

/** To be called in a process whose parent uses a {@link MemoryWatch}. */
export function answerMemory(): void {
  process.on("message", async (message) => {
    if (message !== "memory" && message !== "collect") return;
    // Buffers go a while after the objects that held them.
    for (let times = 0; message === "collect" && times < 3; times++) {
      globalThis.gc?.();
      await delay(100);
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    process.send!({ rss, used: heapUsed + external } satisfies Memory);
  });
}

/** What a process's memory did after its warm-up: megabytes, and megabytes a minute. */
export interface MemoryGrowth {
  rss: number;
  /** Slope of a line through the physical memory of each second. */
  rssGrowth: number;
  /** From the end of the warm-up to the end. */
  usedGrowth: number;
}

/** Looks at a child's memory once a second for so long. */
export async function watchMemory(child: ChildProcess, warmUpSeconds: number, seconds: number): Promise<MemoryGrowth> {
  await delay(warmUpSeconds * 1000);
  const before = await ask(child, "collect");
  const samples: { minutes: number; rss: number }[] = [];
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 60_000;
  while (elapsed() * 60 < seconds - warmUpSeconds) {
    await delay(1000);
    samples.push({ rss: (await ask(child, "memory")).rss, minutes: elapsed() });
  }
  const minutes = elapsed();
  const after = await ask(child, "collect");
  return {
    rss: mean(samples.map(({ rss }) => rss)),
    rssGrowth: slope(samples),
    usedGrowth: (after.used - before.used) / minutes,
  };
}

/** Megabytes. */
async function ask(child: ChildProcess, what: "memory" | "collect"): Promise<Memory> {
  const answer = once(child, "message") as Promise<[Memory]>;
  child.send(what);
  const [{ rss, used }] = await answer;
  return { rss: rss / 2 ** 20, used: used / 2 ** 20 };
}

function slope(samples: readonly { minutes: number; rss: number }[]): number {
  if (samples.length < 3) throw new Error("too short for a slope");
  const [x, y] = [mean(samples.map(({ minutes }) => minutes)), mean(samples.map(({ rss }) => rss))];
  const covariance = mean(samples.map(({ minutes, rss }) => (minutes - x) * (rss - y)));
  return covariance / mean(samples.map(({ minutes }) => (minutes - x) ** 2));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
