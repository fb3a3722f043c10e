import { fork } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { DeleteMessageCommand, ReceiveMessageCommand, SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { createClient } from "#shared/index.ts";
import type { SqsLocation } from "#shared/transport/location.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { awsEnv, s3Client, sqsClient } from "../aws/peer.ts";
import { type BenchRow, figure, median } from "./bench-row.ts";
import { Nothing } from "./queue-service.ts";

const ROUNDS = 7;
/** Rounds before those that count: both sides' code is compiled, and the transport learns how long calls take. */
const WARM_UP = 3;
/** In a round both take turns of so many calls. */
const CALLS = 12;

/** Where a call's message and result go. */
export interface Trip {
  readonly name: string;
  /** Endpoints of servers of SQS's and S3's protocols; without the latter, results are files in the folder. */
  readonly sqs: string;
  readonly s3?: string | undefined;
  readonly folder: string;
  /** Turns in a round. */
  readonly turns: number;
  /** What a call may take, as a multiple of the four requests. */
  readonly bound?: number;
}

/** A store as the bare side uses it, and its URL. */
interface Store {
  url: string;
  put(key: string, bytes: Uint8Array): Promise<unknown>;
  get(key: string): Promise<Uint8Array>;
}

/** Round trips of a service that does nothing, in another process, against the four requests one after the other. */
export async function roundTrips(trip: Trip): Promise<BenchRow[]> {
  const { name, sqs, s3, folder, turns, bound } = trip;
  const before = process.env;
  process.env = { ...before, ...awsEnv(sqs), ...(s3 && { AWS_ENDPOINT_URL_S3: s3 }) };
  const client = sqsClient(sqs);
  const bucketClient = s3 === undefined ? undefined : s3Client(s3);
  const store = bucketClient ? await bucket(bucketClient) : disk(folder);
  const location: SqsLocation = { transport: "sqs", queueUrl: await newQueue(client, sqs), storeUrl: store.url };
  const settings = { urls: { url: location.queueUrl }, storeUrl: store.url };
  const worker = fork(fileURLToPath(new URL("./queue-service.ts", import.meta.url)), [JSON.stringify(settings)]);
  try {
    await once(worker, "message");
    await using nothing = createClient(Nothing, { transport: new SqsTransport(Nothing.name, location) });
    const bare = bareTrip(client, await newQueue(client, sqs), store);
    const ways = { bare, ours: () => timed(() => nothing.nothing({})) };
    const times: Record<keyof typeof ways, number[]> = { bare: [], ours: [] };
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const all: Record<keyof typeof ways, number[]> = { bare: [], ours: [] };
      for (let turn = 0; turn < turns; turn++)
        for (const way of ["bare", "ours"] as const) for (let i = 0; i < CALLS; i++) all[way].push(await ways[way]());
      if (round < 0) continue;
      times.bare.push(median(all.bare));
      times.ours.push(median(all.ours));
    }
    return [
      figure(`send, receive, put and get, ${name}: bare`, times.bare),
      figure(`a call that does nothing, ${name}`, times.ours, times.bare, bound),
    ];
  } finally {
    worker.kill();
    client.destroy();
    bucketClient?.destroy();
    process.env = before;
  }
}

async function bucket(client: S3Client): Promise<Store> {
  const Bucket = "bench";
  await ensureBucket(Bucket, { client });
  return {
    url: `s3://${Bucket}`,
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket, Key, Body })),
    get: async (Key) => (await client.send(new GetObjectCommand({ Bucket, Key }))).Body!.transformToByteArray(),
  };
}

function disk(folder: string): Store {
  return {
    url: `file:${folder}`,
    put: (key, bytes) => writeFile(join(folder, key), bytes),
    get: (key) => readFile(join(folder, key)),
  };
}

let queues = 0;

async function newQueue(client: SQSClient, endpoint: string): Promise<string> {
  const url = await ensureQueue(`trips-${queues++}`, { visibilityTimeoutSeconds: 30 }, { client });
  return new URL(new URL(url).pathname, endpoint).href;
}

/** The four requests that a call cannot do without, with a message and an object such as a call has. */
function bareTrip(client: SQSClient, QueueUrl: string, store: Store): () => Promise<number> {
  const id = "8b0c3f0e-6f1c-4a55-9a59-0d5c7f3d0c11";
  const call = { kind: "call", id, api: "nothing", callId: id, deadline: Date.now() } as const;
  const message = encodeMessage({ ...call, traceparent: "0".repeat(55), listened: false }, encodeFrame({}));
  const result = Buffer.concat(encodeFrame({ output: null, startedAt: Date.now(), finishedAt: Date.now() }).chunks);
  const attributes = Object.entries(message.attributes).map(([name, StringValue]) => [
    name,
    { DataType: "String", StringValue },
  ]);
  const send = { QueueUrl, MessageBody: message.body, MessageAttributes: Object.fromEntries(attributes) };
  const receive = { QueueUrl, WaitTimeSeconds: 20, MessageAttributeNames: ["All"] };
  let trips = 0;
  return async () => {
    const key = `bare-${trips++}`;
    let ReceiptHandle: string | undefined;
    const time = await timed(async () => {
      await client.send(new SendMessageCommand(send));
      const { Messages } = await client.send(new ReceiveMessageCommand(receive));
      ReceiptHandle = Messages?.[0]?.ReceiptHandle;
      await store.put(key, result);
      await store.get(key);
    });
    await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    return time;
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
