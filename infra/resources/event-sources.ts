/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeployedQueue } from "./deployed.ts";
import type { Statement } from "./permissions.ts";

/** What a function must be allowed that Lambda feeds from queues, and that gives single messages back. */
export function consumes(...queues: readonly DeployedQueue[]): Statement {
  return {
    actions: ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
    resources: queues.map(({ arn }) => arn),
  };
}

/** Feeds a queue's messages to a function, which names those of a batch that failed. */
export function createEventSource(
  id: string,
  service: string,
  queue: DeployedQueue,
  functionArn: $util.Input<string>,
  { batchSize, maximumConcurrency }: { batchSize?: number; maximumConcurrency?: number } = {},
): void {
  new aws.lambda.EventSourceMapping(id, {
    eventSourceArn: queue.arn,
    functionName: functionArn,
    functionResponseTypes: ["ReportBatchItemFailures"],
    batchSize,
    ...(maximumConcurrency !== undefined && { scalingConfig: { maximumConcurrency } }),
    tags: { "tandem:service": service },
  });
}
