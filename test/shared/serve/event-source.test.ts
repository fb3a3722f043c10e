import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { parseBatch } from "#shared/lambda/sqs-batch.ts";
import { log } from "#shared/observability/log.ts";
import { EventSourceMapping } from "#shared/serve/lambda/event-source.ts";
import type { InvocationResult } from "#shared/serve/lambda/execution-environment.ts";
import { type Fauxqs, startFauxqs } from "../../aws/fauxqs.ts";
import { sqsClient } from "../../aws/peer.ts";
import { Event } from "../../contract/gate.ts";

// Failures are what these tests are about.
log.level = "silent";

let peer: Fauxqs;
let client: SQSClient;
let names = 0;
beforeAll(async () => {
  peer = await startFauxqs();
  client = sqsClient(peer.endpoint);
});
afterAll(async () => {
  client.destroy();
  await peer.stop();
});

interface Batch {
  readonly bodies: string[];
  readonly receiveCounts: number[];
  readonly ids: string[];
  readonly bytes: number;
}
type Answer = string | { readonly json: string } | "throttled";

/** A queue with these messages, and a function that is given them. */
async function mapped(
  bodies: readonly string[],
  answer: (batch: Batch, index: number) => Answer | Promise<Answer>,
  { visibility = 1, concurrency = 2 } = {},
) {
  const url = await ensureQueue(`mapped-${++names}`, { visibilityTimeoutSeconds: visibility }, { client });
  const queue = new SqsQueue(url, { client });
  for (const body of bodies) await queue.send({ body, attributes: { name: `of ${body.slice(0, 9)}` } });
  const batches: Batch[] = [];
  let busy = 0;
  let most = 0;
  const invoke = async (event: string): Promise<InvocationResult | undefined> => {
    const { messages } = parseBatch(JSON.parse(event));
    for (const { body, attributes } of messages) expect(attributes.name).toBe(`of ${body.slice(0, 9)}`);
    const batch = {
      bodies: messages.map(({ body }) => body),
      receiveCounts: messages.map(({ receiveCount }) => receiveCount),
      ids: messages.map(({ messageId }) => messageId),
      bytes: Buffer.byteLength(event),
    };
    const index = batches.push(batch) - 1;
    most = Math.max(most, ++busy);
    const given = await answer(batch, index);
    busy--;
    if (given === "throttled") return undefined;
    if (typeof given === "object") return { kind: "error", json: given.json };
    const body = Readable.from([Buffer.from(given)]) as IncomingMessage;
    return { kind: "answer", streamed: false, type: "application/json", body };
  };
  const settings = { name: "queue", folder: "", handler: "", runtime: "", timeout: 60, concurrency };
  const mapping = new EventSourceMapping(url, { settings, invoke }, async () => new SqsQueue(url, { client }));
  onTestFinished(() => mapping.stop());
  const empty = () =>
    vi.waitFor(async () => expect(await queue.depth()).toEqual({ visible: 0, inFlight: 0, delayed: 0 }), 15_000);
  return { batches, mapping, queue, empty, most: () => most };
}

const DONE = JSON.stringify({ batchItemFailures: [] });
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

describe("an event source mapping", () => {
  test("what the function names comes again, the rest is deleted", async () => {
    const { batches, empty } = await mapped(numbered(6), ({ ids, bodies }, index) => {
      const failed = index === 0 ? ids.filter((_, i) => ["1", "4"].includes(bodies[i]!)) : [];
      return JSON.stringify({ batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) });
    });
    await empty();
    const given = batches.flatMap(({ bodies }) => bodies);
    expect([...given.slice(0, 6)].sort()).toEqual(numbered(6));
    expect(given).toHaveLength(6 + batches[0]!.bodies.filter((body) => "14".includes(body)).length);
    const again = batches.flatMap(({ bodies, receiveCounts }) => bodies.filter((_, i) => receiveCounts[i] === 2));
    expect(again.sort()).toEqual(["1", "4"].filter((body) => batches[0]!.bodies.includes(body)));
  });

  test.each([
    ["an error of the function", { json: '{"errorType":"Runtime.ExitError"}' }],
    ["a message that was not in the batch", '{"batchItemFailures": [{"itemIdentifier": "nobody"}]}'],
    ["an answer that is no JSON", "<html>"],
  ] as const)("%s: all come again", async (_what, first) => {
    const { batches, empty } = await mapped(["a", "b"], ({ receiveCounts }) =>
      receiveCounts.every((count) => count > 1) ? DONE : first,
    );
    await empty();
    expect(batches.flatMap(({ bodies }) => bodies).sort()).toEqual(["a", "a", "b", "b"]);
  });

  test("an empty answer settles the batch, as AWS has it", async () => {
    const { batches, empty } = await mapped(["a"], () => "null");
    await empty();
    expect(batches).toHaveLength(1);
  });

  test("an event has 6 MB at most", async () => {
    const large = Array.from({ length: 9 }, (_, i) => `${i}`.repeat(1_000_000));
    const { batches, empty } = await mapped(large, () => DONE, { visibility: 30 });
    await empty();
    expect(batches.flatMap(({ bodies }) => bodies)).toHaveLength(9);
    for (const { bytes } of batches) expect(bytes).toBeLessThanOrEqual(6 * 2 ** 20);
    expect(Math.max(...batches.map(({ bodies }) => bodies.length))).toBeGreaterThan(1);
  });

  test("messages in work stay hidden, and no more batches are in work than the function has environments", async () => {
    const gate = new Event();
    const { batches, empty, most } = await mapped(numbered(40), () => gate.happened.then(() => DONE));
    await delay(2_500);
    gate.happen();
    await empty();
    expect(batches.flatMap(({ bodies }) => bodies)).toHaveLength(40);
    expect(most()).toBe(2);
  });

  test("a throttled batch is given again", async () => {
    const { batches, empty } = await mapped(["a"], (_, index) => (index < 2 ? "throttled" : DONE));
    await empty();
    expect(batches.map(({ receiveCounts }) => receiveCounts)).toEqual([[1], [1], [1]]);
  });

  test("a stop waits for the batch in work, and takes no other", async () => {
    const gate = new Event();
    const { batches, mapping, queue } = await mapped(["a"], () => gate.happened.then(() => DONE), { concurrency: 1 });
    await vi.waitFor(() => expect(batches).toHaveLength(1));
    await queue.send({ body: "b", attributes: { name: "of b" } });
    const stopped = mapping.stop();
    gate.happen();
    await stopped;
    expect(batches).toHaveLength(1);
    await vi.waitFor(async () => expect(await queue.depth()).toEqual({ visible: 1, inFlight: 0, delayed: 0 }));
  });
});
