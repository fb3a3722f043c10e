/**
 * Ten times what can be done: `node test/faults/overload.ts`. For a minute (FAULTS_SECONDS) an entry is sent ten calls for
 * each that the stub behind its queue can take, at even intervals whatever becomes of them. What is refused must be refused
 * with 429 and Retry-After, everything else answered, and neither the entry's nor the worker's memory may grow.
 */
import type { ChildProcess } from "node:child_process";
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { type BenchRow, report } from "../bench/bench-row.ts";
import { startEntry } from "./entry.ts";
import { atMost, percentile, seen } from "./figures.ts";
import { watchMemory } from "./memory.ts";
import { Rig } from "./rig.ts";
import { Stub } from "./stub-service.ts";
import { Workers } from "./workers.ts";

const SECONDS = Number(process.env.FAULTS_SECONDS ?? 60);
/** Share of the time before memory is looked at: code is compiled, buffers and the heap find their sizes. */
const WARM_UP = 1 / 3;
/** Megabytes a minute by which physical memory, and what is in use of it, may grow. */
const RSS_GROWTH = 10;
const USED_GROWTH = 2;
const PLACES = 2;
const CALL_MS = 100;
const TIMES = 10;
/** Calls a second that the stub can take. */
const CAPACITY = (PLACES * 1000) / CALL_MS;

/** What became of the calls. */
interface Answers {
  sent: number;
  /** Milliseconds of those that were done. */
  done: number[];
  refused: number;
  /** Refusals that do not say when to come again. */
  speechless: number;
  /** Everything else, by what it was. */
  others: Map<string, number>;
}

export async function run(): Promise<BenchRow[]> {
  await using rig = await Rig.start(Stub.name, { visibilityTimeout: 30, maxReceiveCount: 3 });
  const { location, storeUrl } = rig;
  const settings = {
    service: "Stub",
    urls: { url: location.queueUrl },
    storeUrl,
    places: PLACES,
    waitSeconds: 1,
  } as const;
  await using workers = await Workers.start(1, settings, rig.env);
  await using entry = await startEntry("Entry", rig);
  const watch = async (name: string, child: ChildProcess) => ({
    name,
    ...(await watchMemory(child, SECONDS * WARM_UP, SECONDS - 1)),
  });
  const [answers, ...memory] = await Promise.all([
    overload(entry.url),
    watch("entry", entry.process),
    watch("worker", workers.processes[0]!),
  ]);
  for (const [what, count] of answers.others) console.error(`${count} x ${what}`);
  const others = [...answers.others.values()].reduce((sum, count) => sum + count, 0);
  const done = answers.done.toSorted((a, b) => a - b);
  return [
    seen("calls sent a second", answers.sent / SECONDS),
    seen("as a multiple of what the stub can take", answers.sent / SECONDS / CAPACITY),
    seen("calls done a second", done.length / SECONDS),
    atMost("time of the stub's places without work", 1 - done.length / SECONDS / CAPACITY, "", 0.5),
    seen("refused with 429", answers.refused),
    atMost("refused without Retry-After", answers.speechless, "", 0),
    atMost("neither done nor refused with 429", others, "", 0),
    seen("a call that was done, median", percentile(done, 0.5), "ms"),
    seen("a call that was done, 99th percentile", percentile(done, 0.99), "ms"),
    ...memory.flatMap(({ name, rss, rssGrowth, usedGrowth }) => [
      seen(`physical memory of the ${name}`, rss, "MB"),
      atMost(`what the ${name}'s physical memory grows by`, rssGrowth, "MB/min", RSS_GROWTH),
      atMost(`what the ${name}'s objects grow by`, usedGrowth, "MB/min", USED_GROWTH),
    ]),
  ];
}

async function overload(url: string): Promise<Answers> {
  const answers: Answers = { sent: 0, done: [], refused: 0, speechless: 0, others: new Map() };
  const agent = new http.Agent({ keepAlive: true });
  const calls = new Set<Promise<void>>();
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  while (elapsed() < SECONDS) {
    while (answers.sent < elapsed() * CAPACITY * TIMES) {
      const call: Promise<void> = post(agent, `${url}/work`, answers.sent++, answers).finally(() => calls.delete(call));
      calls.add(call);
    }
    await delay(5);
  }
  await Promise.all(calls);
  agent.destroy();
  return answers;
}

async function post(agent: http.Agent, url: string, n: number, answers: Answers): Promise<void> {
  const start = performance.now();
  const other = (what: string): void => void answers.others.set(what, (answers.others.get(what) ?? 0) + 1);
  try {
    const { status, headers, text } = await answerTo(agent, url, JSON.stringify({ n, ms: CALL_MS }));
    if (status === 429) {
      answers.refused++;
      if (!(Number(headers["retry-after"]) >= 1)) answers.speechless++;
    } else if (status === 200 && (JSON.parse(text) as { n: number }).n === n)
      answers.done.push(performance.now() - start);
    else other(`${status}: ${text}`);
  } catch (error) {
    other(String(error));
  }
}

function answerTo(
  agent: http.Agent,
  url: string,
  body: string,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = http.request(url, { agent, method: "POST", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
