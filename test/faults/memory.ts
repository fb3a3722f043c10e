import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** To be called in a process whose parent uses {@link MemoryWatch}. */
export function answerMemory(): void {
  process.on("message", (message) => {
    if (message === "memory") process.send!(process.memoryUsage.rss());
  });
}

/** Looks at a child's physical memory, once a second. */
export class MemoryWatch {
  readonly #samples: { seconds: number; megabytes: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(child: ChildProcess) {
    const start = performance.now();
    this.#timer = setInterval(async () => {
      const answer = once(child, "message") as Promise<[number]>;
      child.send("memory");
      const [bytes] = await answer;
      this.#samples.push({ seconds: (performance.now() - start) / 1000, megabytes: bytes / 2 ** 20 });
    }, 1000);
  }

  /** Ends it. @returns megabytes, and what they grow by in a minute, both by a line through what came after the warm-up. */
  stop(warmUpSeconds: number): { megabytes: number; growth: number } {
    clearInterval(this.#timer);
    const samples = this.#samples.filter(({ seconds }) => seconds > warmUpSeconds);
    if (samples.length < 3) throw new Error("too short for a slope");
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [x, y] = [mean(samples.map(({ seconds }) => seconds)), mean(samples.map(({ megabytes }) => megabytes))];
    const covariance = mean(samples.map(({ seconds, megabytes }) => (seconds - x) * (megabytes - y)));
    const variance = mean(samples.map(({ seconds }) => (seconds - x) ** 2));
    return { megabytes: y, growth: (covariance / variance) * 60 };
  }
}
