import type { ObjectStore } from "./object-store.ts";

/**
 * Opens the store a URL names: `file:///folder` or `s3://bucket/prefix`, where the prefix may be missing. What it takes is
 * loaded then; only the latter takes the AWS SDK, which finds region, credentials and endpoint as it always does.
 * @throws TypeError for any other URL.
 */
export async function openStore(url: string): Promise<ObjectStore> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === "file:" && /^file:\/(?!\/[^/])/.test(url)) {
    const [{ DiskStore }, { fileURLToPath }] = await Promise.all([import("./disk-store.ts"), import("node:url")]);
    return new DiskStore(fileURLToPath(parsed));
  }
  const [, bucket, prefix] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*?)\/?)?$/.exec(url) ?? [];
  if (bucket) {
    const { S3Store } = await import("../aws/s3-store.ts");
    return new S3Store({ bucket, ...(prefix && { prefix }) });
  }
  throw new TypeError(`${JSON.stringify(url)} is no store: file:///folder and s3://bucket/prefix are`);
}
