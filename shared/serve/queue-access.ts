import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FolderLock } from "../store/folder-lock.ts";
import { emulatorOnly } from "./emulator-credentials.ts";
import { type QueuePlaces, RUNNING_FILE } from "./queue-places.ts";
import { dataFolder, ServedQueues, type ServedQueuesOptions } from "./served-queues.ts";

/**
 * Uses a project's queues from another command: those of the `serve` that runs, those of the user's own server, or those
 * in the data folder, with an emulator for as long as this takes. A `serve` that runs may not have them all.
 * @throws Error where the queues cannot be started.
 */
export async function withQueues<T>(
  options: ServedQueuesOptions,
  use: (places: QueuePlaces) => Promise<T>,
): Promise<T> {
  const running = runningPlaces(options);
  if (running) return use(running);
  const queues = await ServedQueues.start({ ...options, redeliver: 0 });
  try {
    await queues.ready();
    prepareFor(queues.places);
    return await use(queues.places);
  } finally {
    await queues.stop();
  }
}

function runningPlaces(options: ServedQueuesOptions): QueuePlaces | undefined {
  const folder = dataFolder(options);
  const file = join(folder, RUNNING_FILE);
  if (!existsSync(file)) return undefined;
  const places = JSON.parse(readFileSync(file, "utf8")) as QueuePlaces;
  const shared = process.env.AWS_ENDPOINT_URL_SQS;
  const complete = options.services.every((service) => service in places.services);
  if (shared ? places.endpoint !== shared || !complete : !FolderLock.isHeld(folder)) return undefined;
  prepareFor(places);
  return places;
}

/** Lets the SDK speak to an emulator from this process. */
function prepareFor({ endpoint }: QueuePlaces): void {
  if (process.env.AWS_ENDPOINT_URL_SQS) return;
  for (const [name, value] of Object.entries(emulatorOnly(endpoint)))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
}
