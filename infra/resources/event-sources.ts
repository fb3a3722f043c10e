/// <reference path="../../.sst/platform/config.d.ts" />
import type { VersionedName } from "../plan/names.ts";
import type { DeployedQueue } from "./deployed.ts";
import { serviceTags } from "./service-tags.ts";

/** Feeds a queue's messages to a function, which names those of a batch that failed. */
export function createEventSource(
  id: string,
  service: VersionedName,
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
    tags: serviceTags(service),
  });
}
