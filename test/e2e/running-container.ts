import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { vi } from "vitest";

/** A container's main process, started as the image starts it, and its health check. */
export class RunningContainer {
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  log = "";
  out = "";
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;

  /** @param folder what the image has in /app. @param home a folder of this container's own. */
  constructor(folder: string, home: string, env: Record<string, string>) {
    mkdirSync(join(home, "tmp"), { recursive: true });
    this.#folder = folder;
    // Little more than what an image's environment has.
    this.#env = { PATH: process.env.PATH, HOME: home, TMPDIR: join(home, "tmp"), NODE_ENV: "production", ...env };
    this.process = spawn(process.execPath, ["gpu-worker/main.ts"], {
      cwd: folder,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.process.stdout!.on("data", (chunk: Buffer) => {
      this.out += chunk;
    });
    this.process.stderr!.on("data", (chunk: Buffer) => {
      this.log += chunk;
    });
    this.exited = once(this.process, "close").then(([code]) => code as number | null);
  }

  /** Exit code of the health check. */
  check(path: "/livez" | "/readyz" = "/livez"): Promise<number> {
    return new Promise((resolve) => {
      const check = ["gpu-worker/health-check.ts", path];
      execFile(process.execPath, check, { cwd: this.#folder, env: this.#env }, (error) =>
        resolve(error === null ? 0 : Number(error.code)),
      );
    });
  }

  async ready(): Promise<void> {
    let ended = false;
    void this.exited.then(() => {
      ended = true;
    });
    await vi.waitFor(
      async () => {
        if (!ended && (await this.check("/readyz")) !== 0) throw new Error(`not ready: ${this.log}`);
      },
      { timeout: 60_000, interval: 250 },
    );
    if (ended) throw new Error(`the container ended: ${this.log}`);
  }

  /** Metrics of all workers. */
  async metrics(): Promise<string> {
    const request = http.get({ socketPath: join(this.#env.TMPDIR!, "tandem-run", "health.sock"), path: "/metrics" });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    return Buffer.concat(await response.toArray()).toString();
  }

  /** Process ids of the workers. */
  async workers(): Promise<number[]> {
    const { promise, resolve } = Promise.withResolvers<string>();
    execFile("pgrep", ["-P", String(this.process.pid)], (_, out) => resolve(out));
    return (await promise).split("\n").filter(Boolean).map(Number);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.process.kill(signal);
    return this.exited;
  }
}
