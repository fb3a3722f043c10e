import { countQueueAge } from "./metrics.ts";
import { beginPart } from "./spans.ts";

/** Records that the work of a queued call begins: how long it waited, in the metrics and in its trace. */
export function leftQueue(
  service: string,
  { api, callId, traceparent }: { api: string; callId: string; traceparent: string },
  { sentAt, receiveCount }: { sentAt: number; receiveCount: number },
): void {
  const now = Date.now();
  countQueueAge(service, api, Math.max(0, now - sentAt) / 1000);
  const attributes = {
    "messaging.system": "aws_sqs",
    "rpc.service": service,
    "tandem.call_id": callId,
    "tandem.attempt": receiveCount,
  };
  // SQS's clock may be ahead.
  beginPart(`${service} queue`, traceparent, attributes, Math.min(now, sentAt), "consumer")?.end(undefined, now);
}
