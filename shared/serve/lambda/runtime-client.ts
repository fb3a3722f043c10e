import { execFile } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { log } from "../../observability/log.ts";

const VERSION = "4.0.2";
/** Beside Tandem's own packages; git does not see it. */
const FOLDER = fileURLToPath(new URL("../../../.peers/lambda", import.meta.url));
const STAMP = "aws-lambda-ric.txt";
const PROGRAM = "node_modules/aws-lambda-ric/index.mjs";
/** What its native part is compiled with, and the Debian packages that have it. */
const COMPILERS = ["cmake", "g++", "make", "xz", "python3"];
const DEBIAN = "apt-get install cmake g++ make xz-utils python3";
/** Milliseconds: it takes six minutes on a busy machine. */
const INSTALL_MS = 30 * 60_000;

interface RuntimeClientOptions {
  readonly folder?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Installs aws-lambda-ric, the client of the runtime API that runs in Lambda's own Node runtimes, at first need: its
 * native part is compiled, which takes some minutes of a processor.
 * @returns its program, to be run with Node.
 * @throws Error saying what to install where a compiler is missing, or why else it cannot be compiled.
 */
export async function runtimeClient({
  folder = FOLDER,
  env = process.env,
}: RuntimeClientOptions = {}): Promise<string> {
  if (!(await isInstalled(folder))) await install(folder, env);
  return join(folder, PROGRAM);
}

async function isInstalled(folder: string): Promise<boolean> {
  const stamp = join(folder, STAMP);
  return existsSync(stamp) && (await readFile(stamp, "utf8")) === VERSION;
}

async function install(target: string, env: NodeJS.ProcessEnv): Promise<void> {
  const folders = (env.PATH ?? "").split(delimiter);
  const missing = COMPILERS.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (missing.length > 0)
    throw new Error(
      `aws-lambda-ric, AWS's runtime client, is compiled when it is first needed, and there is no ${missing.join(", no ")}: ${DEBIAN}`,
    );
  log.info("AWS's runtime client for Lambda is being compiled, once: that takes some minutes");
  // Whole or not at all, and nobody in the way of another that does the same.
  await mkdir(dirname(target), { recursive: true });
  const folder = mkdtempSync(`${target}-`);
  try {
    await writeFile(join(folder, "package.json"), '{ "private": true }\n');
    await promisify(execFile)("npm", ["install", "--no-fund", "--no-audit", `aws-lambda-ric@${VERSION}`], {
      cwd: folder,
      // The package refuses Node 20, with which npm may run.
      env: { ...env, PATH: [dirname(process.execPath), ...folders].join(delimiter) },
      maxBuffer: 2 ** 26,
      timeout: INSTALL_MS,
    });
    await writeFile(join(folder, STAMP), VERSION);
    if (await isInstalled(target)) return;
    await rm(target, { recursive: true, force: true });
    await rename(folder, target);
  } catch (cause) {
    const said = String((cause as { stderr?: unknown }).stderr ?? cause).trim();
    throw new Error(
      `AWS's runtime client (aws-lambda-ric) cannot be compiled; it needs ${DEBIAN}, and npm's registry:\n${said.slice(-2000)}`,
      { cause },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
