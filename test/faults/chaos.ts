/**
 * Calls through a queue while its workers and its server die: `node test/faults/chaos.ts`. Every two seconds a random worker
 * is killed with -9 and started again, twice the SQS server is, and one message in twenty is delivered twice. No call may be
 * lost or fail, and none may have two results: what is in the store at the end is what its caller got.
 * FAULTS_CALLS (1,000) says how many calls.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { clientOf } from "#shared/service/client.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type BenchRow, report } from "../bench/bench-row.ts";
import { doublingQueue } from "./doubling-queue.ts";
import { atMost, percentile, seen } from "./figures.ts";
import { Rig } from "./rig.ts";
import { settled, storedResults } from "./stored-results.ts";
import { Stub } from "./stub-service.ts";
import { Workers } from "./workers.ts";

export interface ChaosOptions {
  readonly calls: number;
  readonly workers: number;
  /** Milliseconds from one call to the next. */
  readonly pace: number;
  /** Seconds from one kill of a worker to the next. */
  readonly killSeconds: number;
  readonly emulatorKills: number;
  /** Share of messages that are delivered twice. */
  readonly twice: number;
  /** Seconds that a worker that died holds its calls up. */
  readonly visibilityTimeout: number;
}

export interface ChaosOutcome {
  /** Calls without an answer, or with an error. */
  readonly failures: unknown[];
  /** Calls whose stored result is missing, is another than their caller got, or is not the only one. */
  readonly different: number;
  readonly executions: number;
  readonly sentTwice: number;
  readonly kills: number;
  readonly restarts: number;
  readonly emulatorRestarts: number;
  readonly seconds: number;
  /** Milliseconds of the calls, by their length. */
  readonly times: number[];
}

const FULL: ChaosOptions = {
  calls: Number(process.env.FAULTS_CALLS ?? 1000),
  workers: 3,
  pace: 25,
  killSeconds: 2,
  emulatorKills: 2,
  twice: 0.05,
  visibilityTimeout: 4,
};
const PLACES = 2;
/** A call may meet several of the deaths: each delivery of it that was under way when the server died counts, too. */
const MAX_RECEIVE_COUNT = 6;

export async function chaos(options: ChaosOptions): Promise<ChaosOutcome> {
  const { visibilityTimeout } = options;
  await using rig = await Rig.start(Stub.name, { visibilityTimeout, maxReceiveCount: MAX_RECEIVE_COUNT });
  const { location, storeUrl, client } = rig;
  const settings = {
    service: "Stub",
    urls: { url: location.queueUrl },
    storeUrl,
    places: PLACES,
    waitSeconds: 1,
  } as const;
  await using workers = await Workers.start(options.workers, settings, rig.env);
  let sentTwice = 0;
  const openQueue = async (url: string) =>
    doublingQueue(new SqsQueue(url, { client }), options.twice, () => sentTwice++);
  const transport = new SqsTransport(Stub.name, location, openQueue);
  const stub = clientOf(Stub, async () => transport);
  const answers = new Map<number, number>();
  const failures: unknown[] = [];
  const times: number[] = [];
  const call = async (n: number): Promise<void> => {
    const start = performance.now();
    try {
      const { drawn } = await stub.work({ n, ms: 20 + Math.random() * 30 });
      times.push(performance.now() - start);
      answers.set(n, drawn);
    } catch (error) {
      failures.push(error);
    }
  };
  const killing = setInterval(() => workers.kill(), options.killSeconds * 1000);
  const start = performance.now();
  const calls: Promise<void>[] = [];
  const every = Math.ceil(options.calls / (options.emulatorKills + 1));
  let emulator = Promise.resolve();
  for (let n = 0; n < options.calls; n++) {
    if (n > 0 && n % every === 0) emulator = emulator.then(() => rig.restartEmulator());
    calls.push(call(n));
    await delay(options.pace);
  }
  await Promise.all(calls);
  await emulator;
  const seconds = (performance.now() - start) / 1000;
  clearInterval(killing);
  await settled(rig);
  const results = [...(await storedResults(rig.store, Stub.name)).values()];
  await transport.close();
  return {
    failures,
    different: differences(answers, results),
    executions: readFileSync(rig.log, "utf8").split("\n").length - 1,
    sentTwice,
    kills: workers.kills,
    restarts: workers.restarts,
    emulatorRestarts: rig.emulatorRestarts,
    seconds,
    times: times.sort((a, b) => a - b),
  };
}

/** How many calls have no result in the store, another one than their caller got, or more than one. */
function differences(answers: ReadonlyMap<number, number>, results: readonly { output?: unknown }[]): number {
  const stored = new Map<number, number[]>();
  for (const { output } of results) {
    const { n, drawn } = (output ?? { n: -1, drawn: 0 }) as { n: number; drawn: number };
    stored.set(n, [...(stored.get(n) ?? []), drawn]);
  }
  const calls = new Set([...answers.keys(), ...stored.keys()]);
  return [...calls].filter((n) => stored.get(n)?.length !== 1 || stored.get(n)![0] !== answers.get(n)).length;
}

export async function run(): Promise<BenchRow[]> {
  const { failures, times, ...outcome } = await chaos(FULL);
  for (const failure of failures.slice(0, 5)) console.error(failure);
  const enough = Math.floor(outcome.seconds / FULL.killSeconds / 2);
  if (outcome.kills < enough || outcome.emulatorRestarts < FULL.emulatorKills)
    throw new Error(`only ${outcome.kills} workers and ${outcome.emulatorRestarts} servers were killed`);
  return [
    atMost(`${FULL.calls} calls: lost or failed`, failures.length, "", 0),
    atMost("calls whose stored result is not the one that was answered, or not the only one", outcome.different, "", 0),
    seen("workers killed", outcome.kills),
    seen("workers started again", outcome.restarts),
    seen("SQS server killed and started again", outcome.emulatorRestarts),
    seen("messages sent twice", outcome.sentTwice),
    seen("calls computed again", outcome.executions - FULL.calls),
    seen("duration", outcome.seconds, "s"),
    seen("a call, median", percentile(times, 0.5), "ms"),
    seen("a call, 99th percentile", percentile(times, 0.99), "ms"),
  ];
}

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
