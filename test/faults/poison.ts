/**
 * A call that kills its worker every time, among others: `node test/faults/poison.ts`. Its caller must get an error once it
 * has been delivered as often as it may be, within its deadline; all other calls must succeed; and the message must be kept
 * as a dead letter that says why.
 */

import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { deadLetters } from "#shared/delivery/dead-letters.ts";
import { ServiceError } from "#shared/errors/service-error.ts";
import { clientOf } from "#shared/service/client.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type BenchRow, report } from "../bench/bench-row.ts";
import { atMost, seen } from "./figures.ts";
import { Rig } from "./rig.ts";
import { settled } from "./stored-results.ts";
import { Stub } from "./stub-service.ts";
import { Workers } from "./workers.ts";

export interface PoisonOptions {
  /** Calls beside the one that kills. */
  readonly good: number;
  readonly workers: number;
  /** Calls that a worker takes at once: what is in work beside the one that kills dies with it, and comes again, too. */
  readonly places: number;
  /** Seconds that the caller of the one that kills would wait. */
  readonly timeout: number;
  /** Seconds until what a dead worker held comes again. */
  readonly visibilityTimeout: number;
}

export interface PoisonOutcome {
  /** What the caller of the one that kills got. */
  readonly error: unknown;
  /** Seconds until then. */
  readonly seconds: number;
  /** Workers that died. */
  readonly deaths: number;
  readonly failures: unknown[];
  /** Why each dead letter was given up. */
  readonly reasons: string[];
}

const FULL: PoisonOptions = { good: 50, workers: 2, places: 2, timeout: 60, visibilityTimeout: 2 };
export const MAX_RECEIVE_COUNT = 3;

export async function poison(options: PoisonOptions): Promise<PoisonOutcome> {
  const { good, timeout, visibilityTimeout } = options;
  await using rig = await Rig.start(Stub.name, { visibilityTimeout, maxReceiveCount: MAX_RECEIVE_COUNT });
  const { location, storeUrl, client } = rig;
  const settings = {
    service: "Stub",
    urls: { url: location.queueUrl },
    storeUrl,
    places: options.places,
    waitSeconds: 1,
  } as const;
  await using workers = await Workers.start(options.workers, settings, rig.env);
  const transport = new SqsTransport(Stub.name, location, async (url) => new SqsQueue(url, { client }));
  const stub = clientOf(Stub, async () => transport);
  const start = performance.now();
  const failures: unknown[] = [];
  const work = async (n: number): Promise<void> => {
    await stub.work({ n, ms: 20 + Math.random() * 30 }).catch((error: unknown) => failures.push(error));
  };
  const before = Array.from({ length: good >> 1 }, (_, n) => work(n));
  const killing = stub.work({ n: good, ms: 0, dies: true }, { timeout }).then(
    () => undefined,
    (error: unknown) => error,
  );
  const after = Array.from({ length: good - before.length }, (_, n) => work(before.length + n));
  const error = await killing;
  const seconds = (performance.now() - start) / 1000;
  await Promise.all([...before, ...after]);
  await settled(rig);
  await transport.close();
  const letters = await deadLetters(rig.store, Stub.name);
  return { error, seconds, deaths: workers.restarts, failures, reasons: letters.map(({ reason }) => reason) };
}

/** Whether the outcome's error is the one of a call that was given up. */
export function isGivenUp({ error }: PoisonOutcome): boolean {
  return ServiceError.is(error) && error.code === "UNAVAILABLE" && error.message.includes("given up");
}

export async function run(): Promise<BenchRow[]> {
  const outcome = await poison(FULL);
  for (const failure of outcome.failures.slice(0, 5)) console.error(failure);
  console.log(`the caller got: ${outcome.error}\ndead letters: ${outcome.reasons.join("; ")}`);
  return [
    atMost("callers of the call that kills without the error that says so", isGivenUp(outcome) ? 0 : 1, "", 0),
    atMost("until they got it", outcome.seconds, "s", FULL.timeout),
    atMost(`${FULL.good} other calls: failed`, outcome.failures.length, "", 0),
    atMost("dead letters but the one", Math.abs(outcome.reasons.length - 1), "", 0),
    seen("workers that died", outcome.deaths),
  ];
}

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
