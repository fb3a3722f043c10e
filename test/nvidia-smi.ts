import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Puts a stand-in for NVIDIA's command into a folder: it notes what it is asked, and says lines.
 * @returns reads what it was asked, a line each time.
 */
export async function standInForNvidiaSmi(folder: string, ...lines: string[]): Promise<() => Promise<string>> {
  const path = join(folder, "nvidia-smi");
  const asked = join(folder, "asked");
  await writeFile(path, `#!/bin/sh\necho "$@" >> ${asked}\n${lines.map((line) => `echo "${line}"`).join("\n")}\n`);
  await chmod(path, 0o755);
  return () => readFile(asked, "utf8").catch(() => "");
}
