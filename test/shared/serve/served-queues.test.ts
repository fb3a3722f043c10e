import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { HeadBucketCommand } from "@aws-sdk/client-s3";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { encodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { deadLetters } from "#shared/delivery/dead-letters.ts";
import { log } from "#shared/observability/log.ts";
import { ServedQueues, type ServedQueuesOptions } from "#shared/serve/served-queues.ts";
import { openStore } from "#shared/store/open-store.ts";
import { startFauxqs } from "../../aws/fauxqs.ts";
import { awsEnv, s3Client, sqsClient } from "../../aws/peer.ts";

log.level = "silent";

const message = { body: "hello", attributes: { kind: "none" } };

describe("the embedded queue", () => {
  let data: string;
  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), "tandem-queue-"));
    return () => rm(data, { recursive: true });
  });

  async function start(options: Partial<ServedQueuesOptions> = {}): Promise<ServedQueues> {
    const queues = await ServedQueues.start({
      projectFolder: data,
      services: ["Painter"],
      data,
      redeliver: 0,
      ...options,
    });
    await queues.ready();
    return queues;
  }
  function open(queues: ServedQueues, lane: "url" | "priorityUrl" = "url"): SqsQueue {
    const { services, endpoint } = queues.places;
    return new SqsQueue(services.Painter![lane], { client: sqsClient(endpoint) });
  }

  it("keeps what is queued over a restart, at URLs that carry the new port", async () => {
    const first = await start();
    await open(first).send(message);
    await open(first, "priorityUrl").send({ ...message, body: "sooner" });
    // Given back, then received once more: the count outlives the restart, too.
    const [held] = await open(first).receive(1, 0);
    expect(await open(first).extend([held!.handle], 0)).toEqual([]);
    await first.stop();

    const second = await start({ visibilityTimeout: 7 });
    expect(second.places.endpoint).not.toBe(first.places.endpoint);
    expect(await open(second).settings()).toEqual({ visibilityTimeout: 7, maxReceiveCount: 3 });
    expect(await open(second).receive(1, 0)).toMatchObject([{ body: "hello", receiveCount: 2 }]);
    expect(await open(second, "priorityUrl").receive(1, 0)).toMatchObject([{ body: "sooner", receiveCount: 1 }]);
    expect(JSON.parse(await readFile(join(data, "running.json"), "utf8"))).toEqual(second.places);
    await second.stop();
  });

  it("comes back at the same place with everything when it is killed", async () => {
    const queues = await start();
    await open(queues).send(message);
    const killed = queues.pid!;
    process.kill(killed, "SIGKILL");
    await expect
      .poll(
        () =>
          open(queues)
            .receive(1, 0)
            .catch(() => []),
        { timeout: 20_000 },
      )
      .toMatchObject([{ body: "hello" }]);
    expect(queues.pid).not.toBe(killed);
    await queues.stop();
  });

  it("is not started where the user has a server: the project's queues and bucket are made there", async () => {
    const server = await startFauxqs();
    for (const [name, value] of Object.entries(awsEnv(server.endpoint))) vi.stubEnv(name, value);
    vi.stubEnv("AWS_ENDPOINT_URL_SQS", server.endpoint);
    const project = join(data, "My project");
    const onDisk = await start({ projectFolder: project });
    expect(onDisk.places).toEqual({
      endpoint: server.endpoint,
      storeUrl: pathToFileURL(join(data, "store")).href,
      services: {
        Painter: {
          url: `${server.endpoint}/000000000000/tandem-My-project-Painter`,
          priorityUrl: `${server.endpoint}/000000000000/tandem-My-project-Painter-priority`,
          deadLetterUrl: `${server.endpoint}/000000000000/tandem-My-project-Painter-dead`,
        },
      },
    });
    expect(onDisk.environment).toEqual({});
    expect(await open(onDisk).settings()).toEqual({ visibilityTimeout: 30, maxReceiveCount: 3 });
    vi.stubEnv("AWS_ENDPOINT_URL_S3", server.endpoint);
    const inBucket = await start({ projectFolder: project });
    expect(inBucket.places).toEqual({ ...onDisk.places, storeUrl: "s3://tandem-my-project" });
    await s3Client(server.endpoint).send(new HeadBucketCommand({ Bucket: "tandem-my-project" }));
    await Promise.all([onDisk.stop(), inBucket.stop()]);
    await server.stop();
    vi.unstubAllEnvs();
  });

  it("is one at a time for each folder", async () => {
    const queues = await start();
    await expect(start()).rejects.toThrow(`${data} is in use by another tandem: stop that, or name another folder`);
    await queues.stop();
    await (await start()).stop();
  });

  it("is there for this machine's programs only, and not for web pages", async () => {
    const queues = await start();
    const { endpoint } = queues.places;
    const port = Number(new URL(endpoint).port);
    // A listener on all addresses would be there, too.
    const [error] = (await once(connect(port, "127.0.0.2"), "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
    const form = new URLSearchParams({ Action: "CreateTopic", Name: "x" });
    expect((await fetch(endpoint, { method: "POST", body: form })).status).toBe(403);
    const list = { "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ListQueues" };
    const named = (host: string) => fetch(host, { method: "POST", headers: list, body: "{}" });
    expect((await named(endpoint)).status).toBe(200);
    expect((await named(`http://localhost:${port}`)).status).toBe(403);
    await queues.stop();
  });

  it("delivers messages twice when it is asked to", async () => {
    const queues = await start({ redeliver: 1 });
    const queue = open(queues);
    await queue.send(message);
    const received = async () => {
      const messages = await queue.receive(10, 0);
      await queue.delete(messages.map(({ handle }) => handle));
      return messages.map(({ body, attributes }) => ({ body, attributes }));
    };
    const all = await received();
    await expect.poll(async () => all.push(...(await received())), { timeout: 10_000 }).toBe(2);
    expect(all).toEqual([message, message]);
    await queues.stop();
  });

  it("answers dead letters by itself", async () => {
    const queues = await start({ maxReceiveCount: 1 });
    const queue = open(queues);
    const call = { kind: "call", id: "abc", api: "draw", callId: "c", deadline: Date.now(), traceparent: "" } as const;
    await queue.send(encodeMessage(call));
    await queue.extend(
      (await queue.receive(1, 0)).map(({ handle }) => handle),
      0,
    );
    expect(await queue.receive(1, 0)).toEqual([]);
    const store = await openStore(queues.places.storeUrl);
    const objects = new CallObjects(store, "Painter");
    await expect
      .poll(() => objects.result("abc"), { timeout: 10_000 })
      .toMatchObject({ error: { code: "UNAVAILABLE" } });
    expect((await objects.result("abc"))!.error!.error).toContain("given up after 1 try:");
    expect(await deadLetters(store, "Painter")).toMatchObject([{ id: "abc" }]);
    await queues.stop();
  });
});
