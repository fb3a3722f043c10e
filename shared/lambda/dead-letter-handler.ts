import { encodeMessage } from "../delivery/call-message.ts";
import { CallObjects } from "../delivery/call-objects.ts";
import { answerDeadLetters, type DeadLetterOptions } from "../delivery/dead-letters.ts";
import { lazyQueue } from "../delivery/lazy-queue.ts";
import type { Service } from "../service/contract.ts";
import { overridesFromEnvironment } from "../service/overrides.ts";
import { locationsFromEnvironment } from "../transport/location.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { type BatchAnswer, batchAnswer, openResults, parseBatch } from "./sqs-batch.ts";

export interface DeadLetterHandlerOptions {
  /** Where results are; by default as `TANDEM_SERVICES` says of the service itself, or `TANDEM_STORE`. */
  readonly storeUrl?: string | undefined;
  /**
   * The queue's `maxReceiveCount`: deliveries after which a message was given up. By default what `TANDEM_OVERRIDES` says,
   * or 3.
   */
  readonly maxReceiveCount?: number | undefined;
}

/**
 * The Lambda handler for a service's dead-letter queue as an event source: answers the callers of what was given up, and
 * keeps each message as a dead letter (`npx tandem queue ls`). It needs the contract alone.
 * @example export const handler = deadLetterHandler(Entry);
 */
export function deadLetterHandler(
  service: Service,
  { storeUrl, maxReceiveCount = overridesFromEnvironment().maxReceiveCount ?? 3 }: DeadLetterHandlerOptions = {},
): (event: unknown, context: LambdaContext) => Promise<BatchAnswer> {
  let objects: CallObjects | undefined;
  return async (event) => {
    const { messages } = parseBatch(event);
    objects ??= new CallObjects(await openResults(service.name, storeUrl), service.name);
    const settled = await answerDeadLetters(messages, {
      service: service.name,
      objects,
      tries: maxReceiveCount,
      ...ownLane(service.name),
    });
    return batchAnswer(messages.filter((message) => !settled.includes(message)));
  };
}

/** The service's own queue, where `TANDEM_SERVICES` names it. */
function ownLane(service: string): Pick<DeadLetterOptions, "announce" | "send"> {
  const own = locationsFromEnvironment()[service];
  if (own?.transport !== "sqs") return {};
  const queue = lazyQueue(own.queueUrl);
  return {
    send: (message) => queue.send(message),
    announce: (call) => queue.send(encodeMessage({ ...call, kind: "callback" })),
  };
}
