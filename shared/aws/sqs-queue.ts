import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  PurgeQueueCommand,
  type QueueAttributeName,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import type {
  MessageQueue,
  OutgoingMessage,
  QueueDepth,
  QueueSettings,
  ReceivedMessage,
} from "../delivery/message-queue.ts";
import { ServiceError } from "../errors/service-error.ts";
import { awsRequest, errorName, type RequestLimits } from "./request.ts";
import { leaseClient } from "./sqs-client.ts";

/** Bytes of a message, its attributes' names, types and values included. */
const MAX_BYTES = 2 ** 20;
/** Seconds: twelve hours. */
const MAX_VISIBILITY = 43_200;
const BATCH = 10;
/** Everything but the characters of XML 1.0, which are those SQS takes. */
const REFUSED = /[^\t\n\r -\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;

/** A queue of SQS's, or of a server that speaks its protocol. */
export class SqsQueue implements MessageQueue {
  readonly url: string;
  readonly #client: SQSClient;
  #release: (() => void) | undefined;

  /**
   * @param options.client sends the requests, and stays the caller's; otherwise one that all queues of the same server
   * share.
   * @throws TypeError for a text that is no http URL.
   */
  constructor(url: string, { client }: { client?: SQSClient } = {}) {
    this.url = url;
    const lease = client ? { client, release: undefined } : leaseClient(url);
    this.#client = lease.client;
    this.#release = lease.release;
  }

  /** @throws ServiceError INVALID_ARGUMENT for characters that SQS refuses: most control characters, U+FFFE, U+FFFF. */
  async send(
    { body, attributes }: OutgoingMessage,
    { delaySeconds, signal }: { delaySeconds?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    // SQS refuses an empty value.
    const filled = Object.entries(attributes).filter(([, value]) => value !== "");
    checkMessage(body, filled);
    const command = new SendMessageCommand({
      QueueUrl: this.url,
      MessageBody: body,
      MessageAttributes: Object.fromEntries(
        filled.map(([name, value]) => [name, { DataType: "String", StringValue: value }]),
      ),
      ...(delaySeconds !== undefined && { DelaySeconds: Math.ceil(delaySeconds) }),
    });
    await this.#request((abortSignal) => this.#client.send(command, { abortSignal }), { signal });
  }

  async receive(max: number, waitSeconds: number): Promise<ReceivedMessage[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: this.url,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: waitSeconds,
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
    });
    const { Messages = [] } = await this.#request((abortSignal) => this.#client.send(command, { abortSignal }), {
      timeoutMs: waitSeconds * 1000 + 10_000,
    });
    return Messages.map(receivedMessage);
  }

  /** Seconds are rounded up to whole ones, 43,200 at most. */
  async extend(handles: readonly string[], seconds: number): Promise<string[]> {
    const timeout = Math.min(Math.max(Math.ceil(seconds), 0), MAX_VISIBILITY);
    return await inBatches(handles, async (batch) => {
      const command = new ChangeMessageVisibilityBatchCommand({
        QueueUrl: this.url,
        Entries: batch.map((ReceiptHandle, i) => ({ Id: `${i}`, ReceiptHandle, VisibilityTimeout: timeout })),
      });
      return await this.#request((abortSignal) => this.#client.send(command, { abortSignal }));
    });
  }

  async delete(handles: readonly string[]): Promise<string[]> {
    return await inBatches(handles, async (batch) => {
      const command = new DeleteMessageBatchCommand({
        QueueUrl: this.url,
        Entries: batch.map((ReceiptHandle, i) => ({ Id: `${i}`, ReceiptHandle })),
      });
      return await this.#request((abortSignal) => this.#client.send(command, { abortSignal }));
    });
  }

  async depth(signal?: AbortSignal): Promise<QueueDepth> {
    const values = await this.#attributes(
      ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"],
      signal,
    );
    return {
      visible: Number(values.ApproximateNumberOfMessages),
      inFlight: Number(values.ApproximateNumberOfMessagesNotVisible),
      delayed: Number(values.ApproximateNumberOfMessagesDelayed),
    };
  }

  async settings(signal?: AbortSignal): Promise<QueueSettings> {
    const { VisibilityTimeout, RedrivePolicy } = await this.#attributes(["VisibilityTimeout", "RedrivePolicy"], signal);
    const policy = RedrivePolicy ? (JSON.parse(RedrivePolicy) as { maxReceiveCount: number | string }) : undefined;
    return {
      visibilityTimeout: Number(VisibilityTimeout),
      maxReceiveCount: policy && Number(policy.maxReceiveCount),
    };
  }

  /** SQS takes one purge a minute: another throws UNAVAILABLE. */
  async purge(): Promise<void> {
    const command = new PurgeQueueCommand({ QueueUrl: this.url });
    await this.#request((abortSignal) => this.#client.send(command, { abortSignal }));
  }

  async close(): Promise<void> {
    this.#release?.();
    this.#release = undefined;
  }

  async #attributes(names: QueueAttributeName[], signal?: AbortSignal): Promise<Record<string, string>> {
    const command = new GetQueueAttributesCommand({ QueueUrl: this.url, AttributeNames: names });
    const answer = await this.#request((abortSignal) => this.#client.send(command, { abortSignal }), { signal });
    return answer.Attributes ?? {};
  }

  async #request<T>(send: (signal: AbortSignal) => Promise<T>, limits: RequestLimits = {}): Promise<T> {
    try {
      return await awsRequest(`queue ${this.url}`, send, limits);
    } catch (error) {
      if (!ServiceError.is(error) || !/^(QueueDoesNotExist|NonExistentQueue)$/.test(errorName(error.cause)))
        throw error;
      throw new ServiceError("INTERNAL", `there is no queue ${this.url}: create it, or correct the URL`, {
        cause: error.cause,
      });
    }
  }
}

function receivedMessage(message: Message): ReceivedMessage {
  const attributes: Record<string, string> = {};
  for (const [name, { StringValue }] of Object.entries(message.MessageAttributes ?? {}))
    if (StringValue !== undefined) attributes[name] = StringValue;
  return {
    body: message.Body ?? "",
    attributes,
    messageId: message.MessageId ?? "",
    handle: message.ReceiptHandle ?? "",
    receiveCount: Number(message.Attributes?.ApproximateReceiveCount),
    sentAt: Number(message.Attributes?.SentTimestamp),
  };
}

function checkMessage(body: string, attributes: [name: string, value: string][]): void {
  let bytes = Buffer.byteLength(body);
  for (const [name, value] of attributes) bytes += Buffer.byteLength(name) + "String".length + Buffer.byteLength(value);
  if (bytes > MAX_BYTES)
    throw new ServiceError("PAYLOAD_TOO_LARGE", `the message has ${bytes} bytes, a queue takes ${MAX_BYTES}`);
  for (const text of [body, ...attributes.map(([, value]) => value)]) {
    const refused = REFUSED.exec(text)?.[0].codePointAt(0);
    if (refused !== undefined)
      throw new ServiceError(
        "INVALID_ARGUMENT",
        `the message has the character U+${refused.toString(16).toUpperCase().padStart(4, "0")}, which no queue takes`,
      );
  }
}

/** Does something to ten handles at a time, all at once; gives the handles for which it failed. */
async function inBatches(
  handles: readonly string[],
  send: (batch: string[]) => Promise<{ Failed?: { Id: string | undefined }[] | undefined }>,
): Promise<string[]> {
  const batches: string[][] = [];
  for (let at = 0; at < handles.length; at += BATCH) batches.push(handles.slice(at, at + BATCH));
  const failed = await Promise.all(
    batches.map(async (batch) => ((await send(batch)).Failed ?? []).map(({ Id }) => batch[Number(Id)]!)),
  );
  return failed.flat();
}
