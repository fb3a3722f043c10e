import * as z from "zod/mini";
import type { ReceivedMessage } from "../delivery/message-queue.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { openStore } from "../store/open-store.ts";
import { locationsFromEnvironment } from "../transport/location.ts";

const batchSchema = z.object({
  Records: z
    .array(
      z.object({
        eventSource: z.literal("aws:sqs"),
        eventSourceARN: z.string().check(z.regex(/^arn:[\w-]+:sqs:[\w-]+:\d+:[\w-]+$/)),
        messageId: z.string().check(z.minLength(1)),
        receiptHandle: z.string(),
        body: z.string(),
        attributes: z.record(z.string(), z.string()),
        messageAttributes: z._default(z.record(z.string(), z.object({ stringValue: z.optional(z.string()) })), {}),
      }),
    )
    .check(z.minLength(1)),
});

/** A batch of messages as an event source mapping hands it over: all of one queue. */
export interface SqsBatch {
  readonly queueUrl: string;
  readonly messages: readonly ReceivedMessage[];
}

/** Names the messages that are to come again: the mapping must ask for `ReportBatchItemFailures`. */
export interface BatchAnswer {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

/** @throws TypeError for another event: thrown on, it leaves the messages in their queue. */
export function parseBatch(event: unknown): SqsBatch {
  const parsed = batchSchema.safeParse(event);
  if (!parsed.success) throw new TypeError(`the event is no batch of SQS: ${z.prettifyError(parsed.error)}`);
  const { Records } = parsed.data;
  const messages = Records.map(({ body, messageId, receiptHandle, attributes, messageAttributes }) => ({
    body,
    attributes: Object.fromEntries(
      Object.entries(messageAttributes).flatMap(([name, { stringValue }]) =>
        stringValue === undefined ? [] : [[name, stringValue]],
      ),
    ),
    messageId,
    handle: receiptHandle,
    receiveCount: Number(attributes.ApproximateReceiveCount ?? 1),
    sentAt: Number(attributes.SentTimestamp ?? Date.now()),
  }));
  return { queueUrl: queueUrlOf(Records[0]!.eventSourceARN), messages };
}

/** What is to come again. */
export function batchAnswer(failed: readonly ReceivedMessage[]): BatchAnswer {
  return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
}

/**
 * Opens the store of a service's results: `storeUrl`, else that of the service's own queue in `TANDEM_SERVICES`, else
 * `TANDEM_STORE`.
 * @throws TypeError where none is named.
 */
export function openResults(service: string, storeUrl?: string): Promise<ObjectStore> {
  const own = locationsFromEnvironment()[service];
  const url = storeUrl ?? (own?.transport === "sqs" ? own.storeUrl : process.env.TANDEM_STORE);
  if (!url) throw new TypeError(`no store is named for the results of ${service}: set TANDEM_STORE`);
  return openStore(url);
}

/** As `TANDEM_SERVICES` has it, where it does: a server that is not AWS's has URLs of its own. */
function queueUrlOf(arn: string): string {
  const [, partition, , region, account, name] = arn.split(":");
  const known = Object.values(locationsFromEnvironment())
    .flatMap((location) => (location.transport === "sqs" ? [location.queueUrl, location.priorityQueueUrl] : []))
    .find((url) => url !== undefined && new URL(url).pathname.split("/").at(-1) === name);
  if (known !== undefined) return known;
  return `https://sqs.${region}.amazonaws.com${partition === "aws-cn" ? ".cn" : ""}/${account}/${name}`;
}
