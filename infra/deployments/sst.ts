import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../node_modules/.bin", import.meta.url));

export interface SstRun {
  /** The project's folder: the one with sst.config.ts. */
  readonly folder: string;
  /** `["deploy"]`, `["remove"]`. */
  readonly command: readonly [string, ...string[]];
  readonly stage: string;
  /** Variables that sst.config.ts reads. */
  readonly environment: Readonly<Record<string, string>>;
  /** Whether SST's own lines go to standard error, because standard output is for a machine. */
  readonly quiet?: boolean | undefined;
  /** Seconds after which it is interrupted: SST then ends with what is under way. */
  readonly timeout: number;
  /** Program; by default the SST that Tandem is installed with. */
  readonly program?: string | undefined;
}

/**
 * Runs SST's command line.
 * @throws Error where the folder has no sst.config.ts, SST is not installed, fails, or takes too long.
 */
export async function runSst({ folder, command, stage, environment, quiet, timeout, ...run }: SstRun): Promise<void> {
  const program = run.program ?? join(BIN, "sst");
  const config = resolve(folder, "sst.config.ts");
  if (!existsSync(config)) throw new Error(`${config} is missing: SST deploys from it; copy Tandem's own`);
  if (!existsSync(program)) throw new Error("SST is not installed: npm ci brings it");
  const what = `sst ${command[0]}`;
  const child = spawn(program, [...command, "--stage", stage], {
    cwd: resolve(folder),
    stdio: ["inherit", quiet ? 2 : 1, 2],
    // SST runs sst.config.ts with the first node on the path.
    env: { ...process.env, ...environment, PATH: [BIN, process.env.PATH].join(delimiter) },
  });
  // Ctrl-C reaches SST as well, which ends with what is under way; this process ends after it.
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGINT");
  }, timeout * 1000);
  try {
    const failure = await new Promise<string | undefined>((done, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => done(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
    });
    if (late) throw new Error(`${what} took over ${timeout} s and was interrupted; --timeout gives it more`);
    if (failure !== undefined) throw new Error(`${what} failed (${failure}); its output says why`);
  } finally {
    clearTimeout(timer);
    process.removeListener("SIGINT", ignore);
  }
}
