import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import * as z from "zod";
import { isModelPath, MANIFEST, type Manifest, type ManifestFile, parseManifest, sha256OfFile } from "./manifest.ts";
import { ModelError } from "./model-error.ts";

/**
 * Lists a model's files in its manifest.json, with sizes and sha256. What else that says, of licence or source, stays.
 * Hidden files are left out, links are followed.
 * @throws ModelError for a folder without files, and for a name that a manifest cannot have.
 */
export async function writeManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST);
  const before = await otherFields(path);
  const files: ManifestFile[] = [];
  for (const file of await filesOf(folder)) {
    const full = join(folder, file);
    files.push({ path: file, size: (await stat(full)).size, sha256: await sha256OfFile(full) });
  }
  const text = `${JSON.stringify({ ...before, files }, undefined, 2)}\n`;
  const manifest = parseManifest(text, path);
  await writeFile(path, text);
  return manifest;
}

async function otherFields(path: string): Promise<object> {
  const text = await readFile(path, "utf8").catch(() => "{}");
  try {
    const { files: _, ...fields } = z.looseObject({}).parse(JSON.parse(text));
    return fields;
  } catch (cause) {
    throw new ModelError("bad_manifest", `${path} is no JSON object: mend it, or remove it`, { file: MANIFEST, cause });
  }
}

async function filesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((cause) => {
    throw new ModelError("missing", `${folder} is no folder that can be read`, { cause });
  });
  const visible = names
    .map((name) => relative(folder, join(folder, name)).split(sep).join("/"))
    .filter((name) => name !== MANIFEST && !/(^|\/)\./.test(name));
  const files: string[] = [];
  for (const name of visible.sort()) if ((await stat(join(folder, name))).isFile()) files.push(name);
  const wrong = files.find((name) => !isModelPath(name));
  if (wrong !== undefined)
    throw new ModelError(
      "bad_manifest",
      `${wrong} cannot be in a model: names are letters, digits, spaces and _ . + @ -, a letter, digit or _ first`,
      { file: wrong },
    );
  if (files.length === 0) throw new ModelError("missing", `${folder} has no files`);
  return files;
}
