import { copyFile, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MANIFEST, type Manifest, type ManifestFile } from "./manifest.ts";
import { writeManifest } from "./write-manifest.ts";

/** Where a model is sent to. */
export interface ModelTarget {
  /** @returns whether it was sent: false where the same file is there already. */
  put(path: string, source: string, file: Pick<ManifestFile, "size" | "sha256"> | undefined): Promise<boolean>;
  close(): void;
}

export interface Pushed {
  readonly manifest: Manifest;
  /** Paths of the files that were not there before. */
  readonly sent: readonly string[];
}

/**
 * Writes a model folder's manifest and sends everything to where containers fetch it from, the manifest last. A push that
 * broke off goes on with the files that are missing.
 * @param url `s3://bucket/prefix/` or `file:///folder/`.
 * @throws ModelError for a folder that is no model; ServiceError where S3 cannot be reached or refuses; TypeError for
 * another URL.
 */
export async function pushModel(
  folder: string,
  url: string,
  onFile: (path: string, sent: boolean) => void = () => undefined,
): Promise<Pushed> {
  const target = await openTarget(url);
  try {
    const manifest = await writeManifest(folder);
    const sent: string[] = [];
    for (const file of manifest.files) {
      const isNew = await target.put(file.path, join(folder, file.path), file);
      if (isNew) sent.push(file.path);
      onFile(file.path, isNew);
    }
    await target.put(MANIFEST, join(folder, MANIFEST), undefined);
    return { manifest, sent };
  } finally {
    target.close();
  }
}

async function openTarget(url: string): Promise<ModelTarget> {
  if (URL.parse(url)?.protocol === "file:") return new FolderTarget(fileURLToPath(url));
  if (url.startsWith("s3://")) {
    const { S3ModelTarget } = await import("../aws/s3-model-target.ts");
    return S3ModelTarget.at(url);
  }
  throw new TypeError(`a model can be sent to s3://bucket/prefix/ and file:///folder/, not to ${JSON.stringify(url)}`);
}

class FolderTarget implements ModelTarget {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(path: string, source: string): Promise<boolean> {
    const target = join(this.#folder, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(source, `${target}.partial`);
    await rename(`${target}.partial`, target);
    return true;
  }

  close(): void {}
}
