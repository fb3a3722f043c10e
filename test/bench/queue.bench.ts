/**
 * Calls and messages through SQS: `node test/bench/queue.bench.ts`. The server is fauxqs, the store versitygw where Go is
 * there to build it, both in processes of their own.
 *
 * A round trip of a service that does nothing, in another process, against what cannot be saved: one send, one receive, one
 * put and one get, one after the other with the bare SDK (with the disk, plain files: half of that time is nothing). Then messages of 1 kB through the consumer against a bare loop of
 * receive and delete, and against sqs-consumer; and how long fast messages wait for a slow one.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { DeleteMessageCommand, ReceiveMessageCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { encodeFrame } from "#shared/codec/frame.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { createClient } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import type { SqsLocation } from "#shared/transport/location.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type Fauxqs, startFauxqs } from "../aws/fauxqs.ts";
import { type AwsPeer, awsEnv, s3Client, sqsClient } from "../aws/peer.ts";
import { startVersityGw } from "../peers/aws/versitygw.ts";
import { type BenchRow, figure, median, report } from "./bench-row.ts";
import { consumerRows } from "./queue-consumers.ts";
import { Nothing } from "./queue-service.ts";

const ROUNDS = 7;
/** Rounds before those that count: both sides' code is compiled, and the transport learns how long calls take. */
const WARM_UP = 3;
/** In a round both take turns of so many calls. */
const TURNS = 8;
const CALLS = 12;
/** What a round trip over S3 may take, as a multiple of its four requests. */
const BOUND = 1.3;

/** A store that both sides use: by its URL, and bare. */
interface Store {
  name: string;
  url: string;
  bound?: number;
  put(key: string, bytes: Uint8Array): Promise<unknown>;
  get(key: string): Promise<Uint8Array>;
}

export async function run(): Promise<BenchRow[]> {
  log.level = "silent";
  const folder = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  const fauxqs = await startFauxqs();
  const versitygw = await startVersityGw().catch((error: unknown) => console.error(`no versitygw: ${error}`));
  const s3: AwsPeer = versitygw ?? fauxqs;
  const before = { ...process.env };
  Object.assign(process.env, awsEnv(fauxqs.endpoint), { AWS_ENDPOINT_URL_S3: s3.endpoint });
  const client = s3Client(s3.endpoint);
  try {
    await ensureBucket("bench", { client });
    const stores = [bucket(client, versitygw ? "versitygw" : "fauxqs"), disk(folder)];
    const rows: BenchRow[] = [];
    for (const store of stores) rows.push(...(await roundTrips(fauxqs, store)));
    return [...rows, ...(await consumerRows(fauxqs.endpoint))];
  } finally {
    process.env = before;
    client.destroy();
    await versitygw?.stop();
    await fauxqs.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function bucket(client: S3Client, server: string): Store {
  const Bucket = "bench";
  return {
    name: `S3 of ${server}`,
    url: `s3://${Bucket}`,
    bound: BOUND,
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket, Key, Body })),
    get: async (Key) => (await client.send(new GetObjectCommand({ Bucket, Key }))).Body!.transformToByteArray(),
  };
}

function disk(folder: string): Store {
  return {
    name: "the disk",
    url: `file:${folder}`,
    put: (key, bytes) => writeFile(join(folder, key), bytes),
    get: (key) => readFile(join(folder, key)),
  };
}

async function roundTrips(fauxqs: Fauxqs, store: Store): Promise<BenchRow[]> {
  const client = sqsClient(fauxqs.endpoint);
  const queue = async (name: string): Promise<string> => {
    const url = await ensureQueue(`${name}-${store.url.slice(0, 2)}`, { visibilityTimeoutSeconds: 30 }, { client });
    return new URL(new URL(url).pathname, fauxqs.endpoint).href;
  };
  const location: SqsLocation = { transport: "sqs", queueUrl: await queue("Nothing"), storeUrl: store.url };
  const script = fileURLToPath(new URL("./queue-service.ts", import.meta.url));
  const settings = { urls: { url: location.queueUrl }, storeUrl: store.url };
  const worker = fork(script, [JSON.stringify(settings)]);
  const bareUrl = await queue("bare");
  const bare = bareTrip(client, bareUrl, store);
  try {
    await once(worker, "message");
    await using nothing = createClient(Nothing, { transport: new SqsTransport(Nothing.name, location) });
    const ways = { bare, ours: () => timed(() => nothing.nothing({})) };
    const times: Record<keyof typeof ways, number[]> = { bare: [], ours: [] };
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const all: Record<keyof typeof ways, number[]> = { bare: [], ours: [] };
      for (let turn = 0; turn < TURNS; turn++)
        for (const name of ["bare", "ours"] as const)
          for (let i = 0; i < CALLS; i++) all[name].push(await ways[name]());
      if (round < 0) continue;
      times.bare.push(median(all.bare));
      times.ours.push(median(all.ours));
    }
    return [
      figure(`send, receive, put and get, results in ${store.name}: bare`, times.bare),
      figure(`a call that does nothing, results in ${store.name}`, times.ours, times.bare, store.bound),
    ];
  } finally {
    worker.disconnect();
    client.destroy();
  }
}

/** The four requests that a call cannot do without, with a message and an object such as a call has. */
function bareTrip(client: ReturnType<typeof sqsClient>, QueueUrl: string, store: Store): () => Promise<number> {
  const id = "8b0c3f0e-6f1c-4a55-9a59-0d5c7f3d0c11";
  const call = {
    kind: "call",
    id,
    api: "nothing",
    callId: id,
    deadline: Date.now(),
    traceparent: "0".repeat(55),
  } as const;
  const { body, attributes } = encodeMessage({ ...call, listened: false }, encodeFrame({}));
  const result = Buffer.concat(encodeFrame({ output: null, startedAt: Date.now(), finishedAt: Date.now() }).chunks);
  const entries = Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: "String", StringValue }]);
  const message = { QueueUrl, MessageBody: body, MessageAttributes: Object.fromEntries(entries) };
  let trips = 0;
  return async () => {
    const key = `bare-${trips++}`;
    const receive = { QueueUrl, WaitTimeSeconds: 20, MessageAttributeNames: ["All"] };
    let ReceiptHandle: string | undefined;
    const time = await timed(async () => {
      await client.send(new SendMessageCommand(message));
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

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
