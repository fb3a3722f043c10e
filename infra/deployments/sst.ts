import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Tandem's own folder: it has sst.config.ts. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface SstRun {
  /** `deploy`, `remove`, `secret set NAME` and so on. */
  readonly command: readonly string[];
  readonly stage: string;
  /** Variables that sst.config.ts reads. */
  readonly environment: Readonly<Record<string, string>>;
  /** What goes to standard output; SST's own lines go to standard error where it must hold JSON alone. */
  readonly quiet?: boolean | undefined;
  /** Seconds after which it is interrupted; SST then stops when what it is at has ended. */
  readonly timeout: number;
  /** Program; SST as installed by default. */
  readonly program?: string | undefined;
}

/**
 * Runs SST's command line in Tandem's folder, on this Node.
 * @throws Error where it is not installed, fails or takes too long.
 */
export async function runSst(run: SstRun): Promise<void> {
  const bin = join(ROOT, "node_modules/.bin");
  const program = run.program ?? join(bin, "sst");
  if (!existsSync(program)) throw new Error("SST is not installed: npm ci brings it");
  const child = spawn(program, [...run.command, "--stage", run.stage], {
    cwd: ROOT,
    stdio: ["inherit", run.quiet ? process.stderr : "inherit", "inherit"],
    env: {
      ...process.env,
      ...run.environment,
      // SST runs sst.config.ts with the first node on the path.
      PATH: [bin, process.env.PATH].join(delimiter),
    },
  });
  const interrupt = (): void => void child.kill("SIGINT");
  process.on("SIGINT", interrupt);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    interrupt();
  }, run.timeout * 1000);
  try {
    const ended = await new Promise<string | undefined>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
    });
    const what = `sst ${run.command.slice(0, 2).join(" ")}`;
    if (late) throw new Error(`${what} took more than ${run.timeout} s and was stopped; --timeout gives it more`);
    if (ended !== undefined) throw new Error(`${what} failed (${ended}): its output says why`);
  } finally {
    clearTimeout(timer);
    process.removeListener("SIGINT", interrupt);
  }
}
