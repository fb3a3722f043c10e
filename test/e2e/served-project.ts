import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface ServedProject extends AsyncDisposable {
  readonly url: string;
  /** Process ids, by service, at the time the project became ready. */
  readonly workers: Record<string, number[]>;
  /** Where its queue is, and the process id of what runs there. */
  readonly queue: { endpoint: string; pid: number };
  readonly process: ChildProcess;
  /** What it wrote to standard error so far. */
  log(): string;
  /** Sends a signal and gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts `tandem serve` on a free port, of this project or another, and waits until it says that it is ready. Its data
 * folder goes with it, unless `--data` names one.
 */
export async function serveProject(
  args: string[] = [],
  env: Record<string, string> = {},
  project = ROOT,
): Promise<ServedProject> {
  const data = args.includes("--data") ? undefined : mkdtempSync(join(tmpdir(), "tandem-data-"));
  const all = [project, "--port", "0", "--json", ...(data ? ["--data", data] : []), ...args];
  const child = spawn(process.execPath, [`${ROOT}bin/tandem.js`, "serve", ...all], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk;
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  if (data) void exited.finally(() => rm(data, { recursive: true, force: true }));
  let out = "";
  const line = new Promise<string>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk;
      if (out.includes("\n")) resolve(out);
    });
  });
  const ready = await Promise.race([
    line,
    exited.then(([code]) => Promise.reject(new Error(`tandem serve ended with ${code}: ${log}`))),
  ]);
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return (await exited)[0];
  };
  return {
    ...(JSON.parse(ready) as Pick<ServedProject, "url" | "workers" | "queue">),
    process: child,
    log: () => log,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

/** Runs the `tandem` command to its end. */
export async function tandem(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [`${ROOT}bin/tandem.js`, ...args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

/** Whether a process runs. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
