import { countQueueAge } from "./metrics.ts";
import { beginPart } from "./spans.ts";

/** Records that the work of a queued call begins: how long it waited, in the metrics and in its trace. */
export function leftQueue(
  service: string,
  { api, callId, traceparent }: { api: string; callId: string; traceparent: string },
  { sentAt, receiveCount }: { sentAt: number; receiveCount: number },
): void {
  const now = Date.now();
  // SQS's clock may be ahead.
  const sent = sentAt <= now ? sentAt : now;
  countQueueAge(service, api, (now - sent) / 1000);
  const attributes = {
    "messaging.system": "aws_sqs",
    "rpc.service": service,
    "tandem.call_id": callId,
    "tandem.attempt": receiveCount,
  };
  beginPart(`${service} queue`, traceparent, attributes, sent, "consumer")?.end(undefined, now);
}
