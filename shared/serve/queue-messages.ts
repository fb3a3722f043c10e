import type { QueuePlaces } from "./queue-places.ts";

/** What the queue process is told as its argument (JSON). */
export interface QueueProcessSettings {
  /** Data folder. */
  readonly folder: string;
  /** The embedded queue's places; undefined where the user's own server has the queues. */
  readonly embedded: QueuePlaces | undefined;
  readonly projectFolder: string;
  readonly services: readonly string[];
  /** Those of them whose dead letters are answered elsewhere. */
  readonly answeredElsewhere: readonly string[];
  /** Seconds that a received message stays hidden. */
  readonly visibilityTimeout: number;
  /** Deliveries after which a message is given up. */
  readonly maxReceiveCount: number;
  /** Share of messages that the embedded queue delivers twice, 0 to 1. */
  readonly redeliver: number;
}

export type ToQueueProcess = { type: "stop" };
export type FromQueueProcess = { type: "ready"; places: QueuePlaces } | { type: "failed"; message: string };
