import { encodeMessage } from "../delivery/call-message.ts";
import { CallObjects } from "../delivery/call-objects.ts";
import { CallRunner } from "../delivery/call-runner.ts";
import type { Outcome } from "../delivery/consumer.ts";
import type { MessageQueue, ReceivedMessage } from "../delivery/message-queue.ts";
import { type OpenQueue, openSqsQueue } from "../delivery/open-queue.ts";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import { flushing } from "../observability/telemetry.ts";
import type { Deployable } from "../service/deployable.ts";
import { Discovery } from "../service/discovery.ts";
import { ServiceHost } from "../service/host.ts";
import { overridden, overridesFromEnvironment } from "../service/overrides.ts";
import { deliverCallback } from "../task/callback.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { type BatchAnswer, batchAnswer, openResults, parseBatch, type SqsBatch } from "./sqs-batch.ts";

export interface SqsHandlerOptions {
  /** Services that run in this function, too, where they have no location of their own. */
  readonly with?: readonly Deployable[] | undefined;
  /** Where results and large inputs are; by default as `TANDEM_SERVICES` says of the service itself, or `TANDEM_STORE`. */
  readonly storeUrl?: string | undefined;
  /**
   * The queue's `maxReceiveCount`: the last delivery answers an error that passes. By default what `TANDEM_OVERRIDES`
   * says, or 3.
   */
  readonly maxReceiveCount?: number | undefined;
  readonly discovery?: Discovery | undefined;
  readonly openQueue?: OpenQueue | undefined;
}

/** Milliseconds before Lambda ends the function by which calls are given back: that takes a few requests to the store. */
const GIVE_BACK_MS = 3_000;

/**
 * The Lambda handler for a service's own queue as an event source: runs its calls and stores their results, as the
 * worker of `serve` does. A message whose call is to be tried again is hidden for its back-off and named in the partial
 * batch response; calls that are not done before the function's end are given back at once.
 * @example export const handler = sqsHandler(deployable(Entry, () => import("../services/entry.ts")));
 */
export function sqsHandler(
  deployable: Deployable,
  options: SqsHandlerOptions = {},
): (event: unknown, context: LambdaContext) => Promise<BatchAnswer> {
  const overrides = overridesFromEnvironment();
  const { openQueue = openSqsQueue, maxReceiveCount = overrides.maxReceiveCount ?? 3 } = options;
  const queues = new Map<string, Promise<QueueRunner>>();
  const discovery = options.discovery ?? new Discovery(options.with);
  let host: Promise<ServiceHost> | undefined;
  const started = (): Promise<ServiceHost> => {
    host ??= ServiceHost.start(overridden(deployable, overrides), discovery).catch((error) => {
      host = undefined;
      throw error;
    });
    return host;
  };
  started().catch((err: unknown) => log.error({ err }, "the service did not start"));

  const runnerOf = async (queueUrl: string): Promise<QueueRunner> => {
    const [running, store] = await Promise.all([started(), openResults(deployable.service.name, options.storeUrl)]);
    const objects = new CallObjects(store, deployable.service.name);
    return new QueueRunner(running, objects, () => openQueue(queueUrl), maxReceiveCount);
  };
  return flushing(async (event: unknown, context: LambdaContext) => {
    const batch = parseBatch(event);
    let runner = queues.get(batch.queueUrl);
    if (!runner) {
      runner = runnerOf(batch.queueUrl);
      queues.set(batch.queueUrl, runner);
      runner.catch(() => queues.delete(batch.queueUrl));
    }
    return (await runner).run(batch, context);
  });
}

/** Runs one queue's calls. */
class QueueRunner {
  readonly #runner: CallRunner;
  readonly #openQueue: () => Promise<MessageQueue>;
  readonly #maxReceiveCount: number;
  #queue: Promise<MessageQueue> | undefined;

  constructor(
    host: ServiceHost,
    objects: CallObjects,
    openQueue: () => Promise<MessageQueue>,
    maxReceiveCount: number,
  ) {
    this.#openQueue = openQueue;
    this.#maxReceiveCount = maxReceiveCount;
    this.#runner = new CallRunner({
      host,
      objects,
      callback: async (call) => {
        await deliverCallback(call, objects, host.service);
      },
      announce: async (call) => (await this.#opened()).send(encodeMessage({ ...call, kind: "callback" })),
    });
  }

  async run({ messages }: SqsBatch, context: LambdaContext): Promise<BatchAnswer> {
    const ending = new AbortController();
    const over = (): void => ending.abort(new ServiceError("UNAVAILABLE", "the function's time is over"));
    const timer = setTimeout(over, Math.max(0, context.getRemainingTimeInMillis() - GIVE_BACK_MS));
    try {
      const outcomes = await Promise.all(
        messages.map((message) =>
          this.#runner.handle({
            message,
            last: message.receiveCount >= this.#maxReceiveCount,
            signal: ending.signal,
            yieldPlace: () => undefined,
            alone: async () => messages.length === 1,
          }),
        ),
      );
      await Promise.all(messages.map((message, i) => this.#giveBack(message, outcomes[i]!)));
      return batchAnswer(messages.filter((_, i) => outcomes[i] !== "done"));
    } finally {
      clearTimeout(timer);
    }
  }

  /** A failed message would stay hidden as long as the queue says: six times the function's timeout, as AWS advises. */
  async #giveBack({ handle, messageId }: ReceivedMessage, outcome: Outcome): Promise<void> {
    if (outcome === "done") return;
    try {
      await (await this.#opened()).extend([handle], outcome.againAfter);
    } catch (err) {
      log.warn({ err, message_id: messageId }, "a message could not be given back; it comes when its time is over");
    }
  }

  #opened(): Promise<MessageQueue> {
    this.#queue ??= this.#openQueue();
    return this.#queue;
  }
}
