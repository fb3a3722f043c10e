import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * The Python of a virtual environment in `.venv/<name>` that has what requirements files pin; made at first use, and
 * again when a file changes.
 * @throws Error when there is no python3, or a package cannot be had.
 */
export async function pythonWith(name: string, ...requirements: string[]): Promise<string> {
  const folder = `${ROOT}.venv/${name}`;
  const stamp = `${folder}/installed.txt`;
  const wanted = (await Promise.all(requirements.map((file) => readFile(file, "utf8")))).join("");
  if (!existsSync(stamp) || (await readFile(stamp, "utf8")) !== wanted) {
    await run("python3", ["-m", "venv", folder]);
    const files = requirements.flatMap((file) => ["-r", file]);
    await run(`${folder}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check", ...files], {
      maxBuffer: 2 ** 26,
    });
    await writeFile(stamp, wanted);
  }
  return `${folder}/bin/python`;
}
