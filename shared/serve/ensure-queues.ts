import { ensureQueue } from "../aws/ensure-queue.ts";
import { leaseClient } from "../aws/sqs-client.ts";
import { queueNames, type ServiceQueues } from "./queue-places.ts";

export interface EnsureOptions {
  /** URL of the server that speaks SQS's protocol. */
  endpoint: string;
  services: readonly string[];
  /** What the queues' names begin with. */
  prefix: string;
  /** Seconds that a received message stays hidden. */
  visibilityTimeout: number;
  /** Deliveries after which a message goes to the dead letters. */
  maxReceiveCount: number;
}

/** Seconds that a dead letter waits to be answered: SQS's longest. */
const DEAD_LETTER_RETENTION = 1_209_600;

/**
 * Makes the queues of every service what they are to be.
 * @returns their URLs, by service.
 * @throws ServiceError UNAVAILABLE where the server cannot be reached, INTERNAL where it refuses.
 */
export async function ensureQueues({
  endpoint,
  services,
  prefix,
  visibilityTimeout: visibilityTimeoutSeconds,
  maxReceiveCount,
}: EnsureOptions): Promise<Record<string, ServiceQueues>> {
  const { client, release } = leaseClient(endpoint);
  const ensured = async (name: string, deadLetterUrl?: string): Promise<string> => {
    const config = deadLetterUrl
      ? { visibilityTimeoutSeconds, deadLetter: { url: deadLetterUrl, maxReceiveCount } }
      : { visibilityTimeoutSeconds, retentionSeconds: DEAD_LETTER_RETENTION };
    // An emulator's URLs may name a host that cannot be looked up, or the port of an earlier start.
    return new URL(new URL(await ensureQueue(name, config, { client })).pathname, endpoint).href;
  };
  try {
    const entries = services.map(async (service) => {
      const names = queueNames(service, prefix);
      const deadLetterUrl = await ensured(names.deadLetterUrl);
      const [url, priorityUrl] = await Promise.all([
        ensured(names.url, deadLetterUrl),
        ensured(names.priorityUrl, deadLetterUrl),
      ]);
      return [service, { url, priorityUrl, deadLetterUrl }] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  } finally {
    release();
  }
}
