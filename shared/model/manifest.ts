import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import * as z from "zod";
import { ModelError } from "./model-error.ts";

/** Name of the file, in a model's folder, that lists the others. */
export const MANIFEST = "manifest.json";

/** Below the model's folder, wherever that is: no `..`, nothing hidden, nothing that a URL or a bucket takes for syntax. */
const PATH = /^\w[\w.+@ -]*(\/\w[\w.+@ -]*)*$/;

const manifestSchema = z.looseObject({
  files: z
    .array(
      z.looseObject({
        /** From the model's folder, with `/` between. */
        path: z
          .string()
          .max(500)
          .regex(PATH, "must be a path below the model's folder")
          .refine((path) => path !== MANIFEST, "is the manifest itself"),
        /** Bytes. */
        size: z.int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hexadecimal digits"),
      }),
    )
    .min(1)
    .refine((files) => new Set(files.map(({ path }) => path)).size === files.length, "lists a file twice"),
});

/** Every file of a model. What else a manifest says (licence, source) is kept. */
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = Manifest["files"][number];

/** @throws ModelError `bad_manifest`, naming the field. */
export function parseManifest(text: string, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ModelError("bad_manifest", `${where} is not JSON`, { cause });
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.slice(0, 5).map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new ModelError("bad_manifest", `${where}: ${faults.join("; ")}`);
}

/** Whether a manifest can list a file of this name. */
export function isModelPath(path: string): boolean {
  return PATH.test(path) && path !== MANIFEST;
}

/** SHA-256 of a file, in hexadecimal digits. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20, signal })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
