import type { MessageQueue } from "./message-queue.ts";

/** Opens a queue by its URL. */
export type OpenQueue = (url: string) => Promise<MessageQueue>;

/** A queue of SQS's. Only those that use one load the SDK. */
export const openSqsQueue: OpenQueue = async (url) => {
  const { SqsQueue } = await import("../aws/sqs-queue.ts");
  return new SqsQueue(url);
};
