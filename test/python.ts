import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * The Python of a virtual environment in `.venv/<name>` that has what a requirements file pins; made at first use, and
 * again when the file changes.
 * @throws Error when there is no python3, or a package cannot be had.
 */
export async function pythonWith(name: string, requirements: string): Promise<string> {
  const folder = `${ROOT}.venv/${name}`;
  const stamp = `${folder}/installed.txt`;
  const wanted = await readFile(requirements, "utf8");
  if (!existsSync(stamp) || (await readFile(stamp, "utf8")) !== wanted) {
    await run("python3", ["-m", "venv", folder]);
    await run(`${folder}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check", "-r", requirements], {
      maxBuffer: 2 ** 26,
    });
    await writeFile(stamp, wanted);
  }
  return `${folder}/bin/python`;
}
