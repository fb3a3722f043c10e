/** A message to be sent: text and up to ten text attributes, 1 MiB in all. */
export interface OutgoingMessage {
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A message received. It is hidden from other receivers until its visibility timeout passes. */
export interface ReceivedMessage extends OutgoingMessage {
  readonly messageId: string;
  /** Names this reception; extending and deleting take it. */
  readonly handle: string;
  /** Receptions so far, this one included. Approximate. */
  readonly receiveCount: number;
  /** Milliseconds since the epoch. */
  readonly sentAt: number;
}

/** How much waits in a queue; approximate, as SQS says. */
export interface QueueDepth {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** What a queue was created with. */
export interface QueueSettings {
  /** Seconds that a received message stays hidden. */
  readonly visibilityTimeout: number;
  /** Receptions after which a message goes to the dead-letter queue; undefined where none is. */
  readonly maxReceiveCount: number | undefined;
}

/**
 * A queue as SQS is one: at least once, in no order. Every operation has a deadline of its own, 10 seconds where the
 * signal sets none earlier; a receive its wait besides. The queue suite in test/queue says what every server must do.
 * @throws ServiceError UNAVAILABLE where the queue cannot be reached, INTERNAL where it refuses.
 */
export interface MessageQueue {
  readonly url: string;
  /** @throws ServiceError PAYLOAD_TOO_LARGE over 1 MiB. */
  send(message: OutgoingMessage, options?: { delaySeconds?: number; signal?: AbortSignal }): Promise<void>;
  /** Up to `max` (1 to 10) messages; waits up to `waitSeconds` (0 to 20) for the first. Must not be aborted: a server
   * may hand a message to a receiver that has gone. */
  receive(max: number, waitSeconds: number): Promise<ReceivedMessage[]>;
  /** Hides messages for so many seconds from now (0 gives them back). Gives the handles for which that failed. */
  extend(handles: readonly string[], seconds: number): Promise<string[]>;
  /** Deletes messages. Gives the handles for which that failed. */
  delete(handles: readonly string[]): Promise<string[]>;
  depth(signal?: AbortSignal): Promise<QueueDepth>;
  settings(signal?: AbortSignal): Promise<QueueSettings>;
  purge(): Promise<void>;
  close(): Promise<void>;
}

/** Where a service's messages wait: its normal lane, its priority lane, and where messages go that nobody could handle. */
export interface QueueUrls {
  readonly url: string;
  readonly priorityUrl?: string | undefined;
  readonly deadLetterUrl?: string | undefined;
}
