import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PEERS, runTool } from "../aws/peer-process.ts";

const VERSION = "4.0.2";
const FOLDER = join(PEERS, "lambda");
const NODE_BIN = dirname(fileURLToPath(import.meta.resolve("node/bin/node")));

/**
 * Installs aws-lambda-ric, the client of the runtime API that runs in Lambda's own Node runtimes, at first need: its
 * native part is compiled, which takes some minutes of a processor.
 * @returns its program, to be run with Node.
 * @throws Error where a compiler is missing.
 */
export async function runtimeClient(): Promise<string> {
  const stamp = join(FOLDER, "aws-lambda-ric.txt");
  if (!existsSync(stamp) || (await readFile(stamp, "utf8")) !== VERSION) {
    const debian = "cmake g++ make xz-utils python3";
    await runTool(["cmake", "--version"], debian);
    await mkdir(FOLDER, { recursive: true });
    await writeFile(join(FOLDER, "package.json"), '{ "private": true }\n');
    // The package refuses Node 20, with which npm may run.
    const env = { ...process.env, PATH: `${NODE_BIN}:${process.env.PATH}` };
    await runTool(["npm", "install", "--no-fund", "--no-audit", `aws-lambda-ric@${VERSION}`], debian, {
      cwd: FOLDER,
      env,
    });
    await writeFile(stamp, VERSION);
  }
  return join(FOLDER, "node_modules/aws-lambda-ric/index.mjs");
}
