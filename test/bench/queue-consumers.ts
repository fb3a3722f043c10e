import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import { Consumer as SqsConsumer } from "sqs-consumer";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { Consumer } from "#shared/delivery/consumer.ts";
import { sqsClient } from "../aws/peer.ts";
import { type BenchRow, figure } from "./bench-row.ts";

const ROUNDS = 7;
const MESSAGES = 1000;
const BODY = JSON.stringify({ text: "x".repeat(1000) });
/** Largest batch that SQS gives. */
const BATCH = 10;
/** How our consumer's throughput may compare with a bare loop's at the least, and its processor time at the most. */
const OF_BARE = 0.7;
const PROCESSOR_OF_BARE = 1.3;
/** One slow message, and fast ones: milliseconds. */
const SLOW_MS = 2000;
const FAST_MS = 20;
const FAST = 40;
/** Time until the fast ones are done, as a share of sqs-consumer's. */
const NOT_HELD_UP = 0.5;

/** Works off the messages of a queue; ends when so many are done and deleted. */
type Way = (client: SQSClient, url: string, count: number, handle: (body: string) => Promise<void>) => Promise<void>;

const bare: Way = async (client, QueueUrl, count, handle) => {
  const receive = { QueueUrl, MaxNumberOfMessages: BATCH, WaitTimeSeconds: 1 };
  for (let done = 0; done < count; ) {
    const { Messages = [] } = await client.send(new ReceiveMessageCommand(receive));
    for (const { Body } of Messages) await handle(Body!);
    if (Messages.length === 0) continue;
    const Entries = Messages.map(({ ReceiptHandle }, i) => ({ Id: `${i}`, ReceiptHandle }));
    await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
    done += Messages.length;
  }
};

const ours: Way = async (client, url, count, handle) => {
  const queue = new SqsQueue(url, { client });
  let left = count;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const consumer = new Consumer({
    queue: counting(queue, (deleted) => {
      left -= deleted;
      if (left === 0) resolve();
    }),
    places: BATCH,
    waitSeconds: 1,
    handle: async ({ message }) => {
      await handle(message.body);
      return "done";
    },
  });
  await consumer.start();
  await ended;
  stopping.push(consumer.stop());
};

/** @param batches by `handleMessageBatch`, which is faster; by `handleMessage` its messages are handled one by one. */
const theirs =
  (batches: boolean): Way =>
  async (sqs, queueUrl, count, handle) => {
    let left = count;
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const consumer = SqsConsumer.create({
      queueUrl,
      sqs,
      batchSize: BATCH,
      waitTimeSeconds: 1,
      ...(batches
        ? {
            handleMessageBatch: async (messages) => {
              await Promise.all(messages.map(({ Body }) => handle(Body!)));
              return messages;
            },
          }
        : {
            handleMessage: async (message) => {
              await handle(message.Body!);
              return message;
            },
          }),
    });
    // After the delete.
    consumer.on("message_processed", () => {
      if (--left === 0) resolve();
    });
    consumer.start();
    await ended;
    const stopped = new Promise<void>((resolve) => void consumer.once("stopped", () => resolve()));
    consumer.stop();
    stopping.push(stopped);
  };

/** Long polls that end after what was measured. */
const stopping: Promise<void>[] = [];

/** A queue that tells how many messages each request has deleted. */
function counting(queue: SqsQueue, deleted: (count: number) => void): SqsQueue {
  const remove = queue.delete.bind(queue);
  queue.delete = async (handles) => {
    const failed = await remove(handles);
    deleted(handles.length - failed.length);
    return failed;
  };
  return queue;
}

/** Throughput and processor time of the consumers, and what a slow message does to the others. */
export async function consumerRows(endpoint: string): Promise<BenchRow[]> {
  const client = sqsClient(endpoint);
  try {
    return [...(await throughput(client)), ...(await slowAmongFast(client))];
  } finally {
    client.destroy();
  }
}

async function throughput(client: SQSClient): Promise<BenchRow[]> {
  const ways = { bare, theirs: theirs(true), ours };
  const wall = { bare: [] as number[], theirs: [] as number[], ours: [] as number[] };
  const processor = { bare: [] as number[], theirs: [] as number[], ours: [] as number[] };
  const handle = async (body: string): Promise<void> => void JSON.parse(body);
  for (let round = -1; round < ROUNDS; round++)
    for (const [name, way] of Object.entries(ways)) {
      const url = await filled(
        client,
        Array.from({ length: MESSAGES }, () => BODY),
      );
      const [start, cpu] = [performance.now(), process.cpuUsage()];
      await way(client, url, MESSAGES, handle);
      const { user, system } = process.cpuUsage(cpu);
      const elapsed = performance.now() - start;
      await Promise.all(stopping.splice(0));
      if (round < 0) continue;
      wall[name as keyof typeof wall].push(elapsed);
      processor[name as keyof typeof wall].push((user + system) / 1000);
    }
  const what = `${MESSAGES} messages of 1 kB`;
  return [
    figure(`${what}: bare receive and delete`, wall.bare),
    figure(`${what}: sqs-consumer, in batches, to bare`, wall.theirs, wall.bare),
    figure(`${what}: ours, to bare`, wall.ours, wall.bare, 1 / OF_BARE),
    figure(`${what}: ours, to sqs-consumer`, wall.ours, wall.theirs, 1),
    figure("their processor time: bare", processor.bare),
    figure("their processor time: sqs-consumer, to bare", processor.theirs, processor.bare),
    figure("their processor time: ours, to bare", processor.ours, processor.bare, PROCESSOR_OF_BARE),
  ];
}

async function slowAmongFast(client: SQSClient): Promise<BenchRow[]> {
  const times: Record<"theirs" | "ours", number[]> = { theirs: [], ours: [] };
  const ways = [
    ["theirs", theirs(false)],
    ["ours", ours],
  ] as const;
  for (let round = 0; round < 3; round++)
    for (const [name, way] of ways) {
      const url = await filled(client, ["slow", ...Array.from({ length: FAST }, () => "fast")]);
      const start = performance.now();
      let fast = 0;
      await way(client, url, FAST + 1, async (body) => {
        await new Promise((resolve) => setTimeout(resolve, body === "slow" ? SLOW_MS : FAST_MS));
        if (body === "fast" && ++fast === FAST) times[name].push(performance.now() - start);
      });
      await Promise.all(stopping.splice(0));
    }
  const what = `${FAST} messages of ${FAST_MS} ms after one of ${SLOW_MS / 1000} s are done`;
  return [
    figure(`${what}: sqs-consumer`, times.theirs),
    figure(`${what}: ours, to sqs-consumer`, times.ours, times.theirs, NOT_HELD_UP),
  ];
}

let queues = 0;

/** A new queue with these messages. @returns its URL. */
async function filled(client: SQSClient, bodies: readonly string[]): Promise<string> {
  const name = `bench-${queues++}`;
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name }));
  for (let at = 0; at < bodies.length; at += BATCH) {
    const Entries = bodies.slice(at, at + BATCH).map((MessageBody, i) => ({ Id: `${i}`, MessageBody }));
    await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  }
  return QueueUrl!;
}
