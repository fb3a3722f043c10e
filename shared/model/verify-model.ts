import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { MANIFEST, parseManifest, sha256OfFile } from "./manifest.ts";
import { ModelError } from "./model-error.ts";

/** A file that is not what the manifest lists. */
export interface FileFault {
  readonly path: string;
  readonly fault: "missing" | "size" | "sha256";
}

/** What was found of a model's files. */
export interface Verified {
  readonly files: number;
  readonly bytes: number;
  readonly faults: readonly FileFault[];
}

/**
 * Compares a folder's files with its manifest.json.
 * @throws ModelError where there is no manifest, or none that can be read.
 */
export async function verifyModel(folder: string): Promise<Verified> {
  const path = join(folder, MANIFEST);
  const text = await readFile(path, "utf8").catch((cause) => {
    throw new ModelError("no_manifest", `${path} is not there`, { file: MANIFEST, cause });
  });
  const { files } = parseManifest(text, path);
  const faults: FileFault[] = [];
  for (const { path, size, sha256 } of files) {
    const full = join(folder, path);
    const found = await stat(full).catch(() => undefined);
    if (!found?.isFile()) faults.push({ path, fault: "missing" });
    else if (found.size !== size) faults.push({ path, fault: "size" });
    else if ((await sha256OfFile(full)) !== sha256) faults.push({ path, fault: "sha256" });
  }
  return { files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0), faults };
}
