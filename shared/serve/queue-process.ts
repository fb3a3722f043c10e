/**
 * The process beside the workers that no call can bring down: it runs the embedded queue, or makes the queues on the
 * user's own server, answers dead letters and sweeps the store. Started by `ServedQueues`.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSqsQueue } from "../delivery/open-queue.ts";
import { log } from "../observability/log.ts";
import { DiskStore } from "../store/disk-store.ts";
import { FolderLock } from "../store/folder-lock.ts";
import { openStore } from "../store/open-store.ts";
import { answerForever } from "./dead-letter-loop.ts";
import type { FromQueueProcess, QueueProcessSettings, ToQueueProcess } from "./queue-messages.ts";
import { bucketName, diskStoreUrl, type QueuePlaces, RUNNING_FILE, sharedPrefix } from "./queue-places.ts";

/** Milliseconds that another process's lock is waited for: one that was killed a moment ago lets go of it. */
const LOCK_WAIT_MS = 2_000;
const KEEP_MS = 24 * 3_600_000;
const SWEEP_EVERY_MS = 3_600_000;

const settings = JSON.parse(process.argv[2] ?? "null") as QueueProcessSettings | null;
if (!settings || !process.send) throw new Error("queue-process.ts is started by `tandem serve`");
const { folder, embedded } = settings;
const running = join(folder, RUNNING_FILE);

// Ctrl-C reaches the whole process group; the parent says when this process may go.
process.on("SIGINT", () => undefined);

let emulator: { stop(): Promise<void> } | undefined;
process.on("disconnect", () => process.exit(0));
process.on("message", (message: ToQueueProcess) => {
  if (message.type !== "stop") return;
  rmSync(running, { force: true });
  void (emulator?.stop() ?? Promise.resolve()).finally(() => process.exit(0));
});

try {
  mkdirSync(folder, { recursive: true });
  const lock = embedded && new FolderLock(folder, LOCK_WAIT_MS);
  const places = embedded ? await startEmbedded(embedded) : await useShared();
  writeFileSync(running, JSON.stringify(places));
  const store = await openStore(places.storeUrl);
  for (const [service, { url, deadLetterUrl }] of Object.entries(places.services)) {
    if (settings.answeredElsewhere.includes(service)) continue;
    const [queue, lane] = await Promise.all([openSqsQueue(deadLetterUrl), openSqsQueue(url)]);
    void answerForever({ service, queue, lane, store, tries: settings.maxReceiveCount });
  }
  if (store instanceof DiskStore) keepSwept(store);
  const ready: FromQueueProcess = { type: "ready", places };
  process.send(ready);
  process.once("exit", () => lock?.release());
} catch (error) {
  log.debug({ err: error }, "the queue cannot start");
  const failed: FromQueueProcess = { type: "failed", message: (error as Error).message };
  process.send(failed, () => process.exit(1));
}

async function startEmbedded(places: QueuePlaces): Promise<QueuePlaces> {
  const [{ startEmulator }, { ensureQueues }] = await Promise.all([
    import("./emulator.ts"),
    import("./ensure-queues.ts"),
  ]);
  const port = Number(new URL(places.endpoint).port);
  emulator = await startEmulator({ port, folder: join(folder, "queue"), redeliver: settings!.redeliver });
  await ensureQueues({ ...settings!, endpoint: places.endpoint, prefix: "" });
  return places;
}

async function useShared(): Promise<QueuePlaces> {
  const endpoint = process.env.AWS_ENDPOINT_URL_SQS!;
  const { ensureQueues } = await import("./ensure-queues.ts");
  const prefix = sharedPrefix(settings!.projectFolder);
  const services = await ensureQueues({ ...settings!, endpoint, prefix });
  if (!process.env.AWS_ENDPOINT_URL_S3) return { endpoint, services, storeUrl: diskStoreUrl(folder) };
  const { ensureBucket } = await import("../aws/ensure-bucket.ts");
  const bucket = bucketName(settings!.projectFolder);
  await ensureBucket(bucket);
  return { endpoint, services, storeUrl: `s3://${bucket}` };
}

/** What a lifecycle rule does in S3. */
function keepSwept(store: DiskStore): void {
  const sweep = (): void => {
    store.sweep(KEEP_MS).catch((err: unknown) => log.warn({ err }, "the store cannot be swept"));
  };
  sweep();
  setInterval(sweep, SWEEP_EVERY_MS);
}
