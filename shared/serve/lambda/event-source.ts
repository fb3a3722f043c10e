import { setTimeout as delay } from "node:timers/promises";
import type { MessageQueue, ReceivedMessage } from "../../delivery/message-queue.ts";
import { type OpenQueue, openSqsQueue } from "../../delivery/open-queue.ts";
import { log } from "../../observability/log.ts";
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES, readUpTo } from "./bodies.ts";
import { ACCOUNT, REGION } from "./execution-environment.ts";
import type { LocalFunction } from "./local-function.ts";

/** Messages of one event, as AWS has it unless told. */
const BATCH_SIZE = 10;
/** Seconds of a long poll, which a stop waits for. */
const WAIT_SECONDS = 2;
const AGAIN_MS = 1_000;
const THROTTLED_MS = 200;

/**
 * An event source mapping (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html) with `ReportBatchItemFailures`: takes
 * messages off a queue and invokes a function with a batch of them at a time, as many batches at once as the function has
 * environments. What the function does not name is deleted; the rest, or all where it failed, comes again when its
 * visibility timeout is over. Messages in work are kept hidden, which AWS leaves to a long visibility timeout.
 */
export class EventSourceMapping {
  readonly #queueUrl: string;
  readonly #target: Pick<LocalFunction, "invoke" | "settings">;
  readonly #stopping = new AbortController();
  readonly #batches = new Set<Promise<void>>();
  readonly #polling: Promise<void>;

  constructor(
    queueUrl: string,
    target: Pick<LocalFunction, "invoke" | "settings">,
    openQueue: OpenQueue = openSqsQueue,
  ) {
    this.#queueUrl = queueUrl;
    this.#target = target;
    this.#polling = this.#poll(openQueue);
  }

  /** Receives no more; ends when the batches in work have. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#polling;
    await Promise.all(this.#batches);
  }

  async #poll(openQueue: OpenQueue): Promise<void> {
    const { signal } = this.#stopping;
    const queue = await openQueue(this.#queueUrl);
    let visibility: number | undefined;
    while (!signal.aborted) {
      try {
        visibility ??= (await queue.settings()).visibilityTimeout;
        const messages = await queue.receive(BATCH_SIZE, WAIT_SECONDS);
        if (signal.aborted && messages.length > 0)
          await queue.extend(
            messages.map(({ handle }) => handle),
            0,
          );
        else for (const event of eventsOf(this.#queueUrl, messages)) this.#begin(queue, event, visibility);
        while (this.#batches.size >= this.#target.settings.concurrency) await Promise.race(this.#batches);
      } catch (err) {
        log.warn({ err, queue: this.#queueUrl }, "messages cannot be received");
        await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    await Promise.all(this.#batches);
    await queue.close();
  }

  #begin(queue: MessageQueue, event: BatchEvent, visibility: number): void {
    const batch = this.#handle(queue, event, visibility)
      .catch((err: unknown) => log.warn({ err, queue: this.#queueUrl }, "a batch could not be settled; it comes again"))
      .finally(() => this.#batches.delete(batch));
    this.#batches.add(batch);
  }

  async #handle(queue: MessageQueue, { messages, json }: BatchEvent, visibility: number): Promise<void> {
    const hide = (): void => {
      queue
        .extend(
          messages.map(({ handle }) => handle),
          visibility,
        )
        .catch(() => undefined);
    };
    const heartbeat = setInterval(hide, (visibility * 1000) / 3);
    try {
      const failed = await this.#failuresOf(messages, json);
      const done = messages.filter(({ messageId }) => !failed.has(messageId));
      if (done.length > 0) await queue.delete(done.map(({ handle }) => handle));
    } finally {
      clearInterval(heartbeat);
    }
  }

  /** Ids of the messages that are to come again. */
  async #failuresOf(messages: readonly ReceivedMessage[], json: string): Promise<Set<string>> {
    const all = new Set(messages.map(({ messageId }) => messageId));
    let result = await this.#target.invoke(json);
    // Another queue's batches have the environments.
    while (!result && !this.#stopping.signal.aborted) {
      await delay(THROTTLED_MS);
      result = await this.#target.invoke(json);
    }
    if (result?.kind !== "answer") {
      if (result)
        log.warn({ function: this.#target.settings.name, error: result.json }, "a batch failed; it comes again");
      return all;
    }
    const answer = await readUpTo(result.body, MAX_ANSWER_BYTES);
    return answer === undefined ? all : (named(answer.toString(), all) ?? all);
  }
}

interface BatchEvent {
  readonly messages: readonly ReceivedMessage[];
  readonly json: string;
}

/** Messages as events of at most 6 MB. */
function eventsOf(queueUrl: string, messages: readonly ReceivedMessage[]): BatchEvent[] {
  if (messages.length === 0) return [];
  const json = JSON.stringify({ Records: messages.map((message) => recordOf(queueUrl, message)) });
  if (messages.length === 1 || Buffer.byteLength(json) <= MAX_EVENT_BYTES) return [{ messages, json }];
  const half = Math.ceil(messages.length / 2);
  return [...eventsOf(queueUrl, messages.slice(0, half)), ...eventsOf(queueUrl, messages.slice(half))];
}

function recordOf(queueUrl: string, message: ReceivedMessage): object {
  const { messageId, handle, body, attributes, receiveCount, sentAt } = message;
  const [name, account = ""] = new URL(queueUrl).pathname.split("/").reverse();
  return {
    messageId,
    receiptHandle: handle,
    body,
    attributes: { ApproximateReceiveCount: String(receiveCount), SentTimestamp: String(sentAt) },
    messageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([key, stringValue]) => [key, { stringValue, dataType: "String" }]),
    ),
    eventSource: "aws:sqs",
    eventSourceARN: `arn:aws:sqs:${REGION}:${/^\d+$/.test(account) ? account : ACCOUNT}:${name}`,
    awsRegion: REGION,
  };
}

/** What a partial batch response names; undefined where it is none, or names what was not in the batch: all failed then. */
function named(text: string, all: ReadonlySet<string>): Set<string> | undefined {
  try {
    const { batchItemFailures = [] } = (JSON.parse(text) ?? {}) as { batchItemFailures?: { itemIdentifier: string }[] };
    const ids = (batchItemFailures ?? []).map(({ itemIdentifier }) => itemIdentifier);
    return ids.every((id) => all.has(id)) ? new Set(ids) : undefined;
  } catch {
    return undefined;
  }
}
