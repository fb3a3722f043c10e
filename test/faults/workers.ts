import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { STEADY_HEAP } from "./memory.ts";
import type { WorkerSettings } from "./worker-process.ts";

const SCRIPT = fileURLToPath(new URL("./worker-process.ts", import.meta.url));
/** A start that fails, as while the emulator is away, is tried again after so long. */
const AGAIN_MS = 200;

/** Worker processes of one service, each started again when it dies. */
export class Workers implements AsyncDisposable {
  kills = 0;
  /** Starts after the first of each. */
  restarts = 0;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ready = new Set<ChildProcess>();
  readonly #running: Promise<void>[] = [];
  #stopping = false;

  private constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Starts so many, and waits until they take calls. */
  static async start(count: number, settings: WorkerSettings, env: NodeJS.ProcessEnv): Promise<Workers> {
    const workers = new Workers({ ...process.env, ...env, FAULTS_WORKER: JSON.stringify(settings) });
    await Promise.all(
      Array.from({ length: count }, () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        workers.#running.push(workers.#keepRunning(resolve));
        return promise;
      }),
    );
    return workers;
  }

  /** Processes that take calls now. */
  get processes(): readonly ChildProcess[] {
    return [...this.#ready];
  }

  /** Kills a random one with -9; one that has just been killed is not there to be killed. */
  kill(): void {
    const all = this.processes;
    const victim = all[Math.floor(Math.random() * all.length)];
    if (!victim) return;
    this.#ready.delete(victim);
    if (victim.kill("SIGKILL")) this.kills++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    for (const child of this.#ready) child.send("stop");
    await Promise.all(this.#running);
  }

  async #keepRunning(started: () => void): Promise<void> {
    for (let starts = 0; !this.#stopping; starts++) {
      if (starts > 0) this.restarts++;
      const child = fork(SCRIPT, { env: this.#env, execArgv: STEADY_HEAP });
      const exited = once(child, "exit");
      child.once("message", () => {
        this.#ready.add(child);
        if (this.#stopping) child.send("stop");
        started();
      });
      const [code] = (await exited) as [number | null];
      this.#ready.delete(child);
      if (code !== null && code !== 0) await delay(AGAIN_MS);
    }
  }
}
