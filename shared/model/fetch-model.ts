import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";
import { log } from "../observability/log.ts";
import { FolderInUse, FolderLock } from "../store/folder-lock.ts";
import { FileFetch, type Job } from "./fetch-file.ts";
import { MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { ModelError } from "./model-error.ts";
import { type ModelSource, openModelSource } from "./model-source.ts";

export interface FetchModelOptions {
  /** `s3://bucket/prefix/`, `https://host/path/` or `file:///folder/`; its manifest.json lists the files. */
  url: string;
  /** Where models are kept on this machine, for every process and container that shares the folder. */
  folder: string;
  signal?: AbortSignal | undefined;
  /** Seconds that it may take, waiting for another process that fetches the same included. Default an hour. */
  deadlineSeconds?: number;
}

/** Ranges under way at once: a connection to S3 gives 50 to 100 MB a second, a GPU instance takes ten times that. */
const PARALLEL = 16;
const PROGRESS_MS = 5_000;
const WAIT_MS = 500;
/** A manifest of some ten thousand files. */
const MAX_MANIFEST_BYTES = 4 * 2 ** 20;

/**
 * Brings a model's files to this machine's disk: in parallel ranges, resumed where an earlier try broke off, every file
 * checked against the manifest's sha256. Of several processes that want the same, one fetches and the others wait.
 * @returns the folder of the complete model, below `folder`; another manifest gets another folder.
 * @throws ModelError saying what is wrong with which file; the signal's reason; TypeError for a URL that is no model's.
 */
export async function fetchModel(options: FetchModelOptions): Promise<string> {
  const { url, folder, deadlineSeconds = 3600 } = options;
  const late = new AbortController();
  const message = `${url} was not here within ${deadlineSeconds} s`;
  const timer = setTimeout(() => late.abort(new ModelError("unreachable", message)), deadlineSeconds * 1000);
  const signal = options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal;
  const source = await openModelSource(url);
  try {
    const text = await readManifest(source, url, signal);
    const manifest = parseManifest(text, `${MANIFEST} of ${url}`);
    const id = createHash("sha256").update(text).digest("hex").slice(0, 16);
    const target = join(folder, id);
    if (await isComplete(target, manifest)) return target;
    await mkdir(folder, { recursive: true });
    const lock = await lockFolder(folder, signal);
    try {
      if (await isComplete(target, manifest)) return target;
      const staging = join(folder, `${id}.partial`);
      await clear(folder, id);
      await mkdir(staging, { recursive: true });
      await fetchFiles(source, manifest, staging, url, signal);
      await writeFile(join(staging, MANIFEST), text);
      await rename(staging, target);
      return target;
    } finally {
      lock.release();
    }
  } catch (error) {
    throw roomless(error) ? new ModelError("disk_full", `${folder} has no room for ${url}`, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
    source.close();
  }
}

async function readManifest(source: ModelSource, url: string, signal: AbortSignal): Promise<string> {
  const read = async (): Promise<string> => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of await source.read(MANIFEST, undefined, signal)) {
      bytes += chunk.byteLength;
      if (bytes > MAX_MANIFEST_BYTES) throw new ModelError("bad_manifest", `${MANIFEST} of ${url} is over 4 MiB`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  };
  try {
    return await pRetry(read, {
      retries: 5,
      minTimeout: 200,
      maxTimeout: 5_000,
      signal,
      shouldRetry: ({ error }) => !(error instanceof ModelError),
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ModelError))
      throw new ModelError("unreachable", `${url} cannot be reached: ${(error as Error).message}`, { cause: error });
    if (error.fault !== "missing") throw error;
    const hint = "`tandem model push` writes it";
    throw new ModelError("no_manifest", `${url} has no ${MANIFEST}: ${hint}`, { file: MANIFEST, cause: error });
  }
}

/** Whether every file is there with its size. What was moved into place has been checked before. */
async function isComplete(folder: string, { files }: Manifest): Promise<boolean> {
  const sizes = await Promise.all(
    files.map(({ path }) =>
      stat(join(folder, path)).then(
        ({ size }) => size,
        () => -1,
      ),
    ),
  );
  return files.every(({ size }, index) => sizes[index] === size);
}

async function lockFolder(folder: string, signal: AbortSignal): Promise<FolderLock> {
  for (let waited = false; ; waited = true) {
    try {
      return new FolderLock(folder);
    } catch (error) {
      if (!(error instanceof FolderInUse)) throw error;
      if (!waited) log.info({ folder }, "another process fetches the model; this one waits for it");
      await delay(WAIT_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/** Removes what earlier fetches of other models have left half done, and this one where a file of it was lost. */
async function clear(folder: string, id: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => name === id || /^[0-9a-f]{16}\.partial$/.test(name));
  for (const name of left) if (name !== `${id}.partial`) await rm(join(folder, name), { recursive: true, force: true });
}

async function fetchFiles(
  source: ModelSource,
  manifest: Manifest,
  staging: string,
  url: string,
  outer: AbortSignal,
): Promise<void> {
  const started = performance.now();
  await checkRoom(staging, manifest);
  const files = await Promise.all(manifest.files.map((file) => FileFetch.open(source, file, staging)));
  const total = manifest.files.reduce((sum, { size }) => sum + size, 0);
  const missing = files.reduce((sum, file) => sum + file.missingBytes, 0);
  const tell = (): void => {
    const fetched = files.reduce((sum, file) => sum + file.fetchedBytes, 0);
    const megabytesPerSecond = Math.round(fetched / (performance.now() - started) / 100) / 10;
    log.info({ url, bytes: total, here: total - missing + fetched, megabytesPerSecond }, "fetching the model");
  };
  tell();
  const progress = setInterval(tell, PROGRESS_MS);
  const failed = new AbortController();
  const signal = AbortSignal.any([outer, failed.signal]);
  const jobs: Job[] = files.flatMap((file) => file.jobs());
  const run = async (): Promise<void> => {
    for (let job = jobs.shift(); job && !signal.aborted; job = jobs.shift()) jobs.push(...(await job(signal)));
  };
  try {
    // All of them end before the lock is given back.
    await Promise.all(Array.from({ length: PARALLEL }, () => run().catch((error: unknown) => failed.abort(error))));
    signal.throwIfAborted();
  } finally {
    clearInterval(progress);
    await Promise.all(files.map((file) => file.close()));
  }
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  log.info({ url, bytes: total, seconds }, "the model is here");
}

async function checkRoom(folder: string, { files }: Manifest): Promise<void> {
  // Of a file that is half done, only the blocks that were written take room.
  const missing = files.map(async ({ path, size }) => {
    const found = await stat(join(folder, path)).catch(() => undefined);
    return Math.max(0, size - (found?.blocks ?? 0) * 512);
  });
  const bytes = (await Promise.all(missing)).reduce((sum, some) => sum + some, 0);
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const message = `${folder} has room for ${bavail * bsize} bytes, and the model wants ${bytes} more`;
  throw new ModelError("disk_full", message);
}

function roomless(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  return code === "ENOSPC" || code === "EDQUOT" || (cause !== undefined && roomless(cause));
}
