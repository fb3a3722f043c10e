import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { type Fauxqs, startFauxqs } from "../aws/fauxqs.ts";
import { awsEnv, sqsClient } from "../aws/peer.ts";
import { queueSuite } from "./queue.suite.ts";

queueSuite("fauxqs", startFauxqs, {
  refusesAstral: "fauxqs 2.4.1 takes no character above U+FFFD; SQS takes all of Unicode's",
  deletesUnknown: "fauxqs 2.4.1 calls every handle deleted",
});

describe("queues of one process", () => {
  let fauxqs: Fauxqs;
  beforeAll(async () => {
    fauxqs = await startFauxqs();
  });
  afterAll(() => fauxqs?.stop());
  afterEach(() => void vi.unstubAllEnvs());
  function useFauxqs(endpoint = fauxqs.endpoint): void {
    for (const [name, value] of Object.entries(awsEnv(endpoint))) vi.stubEnv(name, value);
  }

  test("find their server by the environment, and one that is closed closes no other", async () => {
    useFauxqs();
    const url = await ensureQueue("shared", { visibilityTimeoutSeconds: 60 });
    const [one, other] = [new SqsQueue(url), new SqsQueue(url)];
    const waiting = other.receive(1, 20);
    await one.depth();
    await one.close();
    await one.close();
    await other.send({ body: "still here", attributes: {} });
    expect((await waiting)[0]!.body).toBe("still here");
    await other.close();
    const third = new SqsQueue(url);
    expect((await third.depth()).inFlight).toBe(1);
    await third.close();
  });

  test("find their server by their URL where the environment names none", async () => {
    useFauxqs();
    const { pathname } = new URL(await ensureQueue("by-url", { visibilityTimeoutSeconds: 60 }));
    vi.stubEnv("AWS_ENDPOINT_URL", undefined);
    const queue = new SqsQueue(fauxqs.endpoint + pathname);
    await queue.send({ body: "x", attributes: {} });
    expect((await queue.receive(1, 5))[0]!.body).toBe("x");
    await queue.close();
  });

  test("without credentials say so", async () => {
    useFauxqs();
    const url = await ensureQueue("secret", { visibilityTimeoutSeconds: 60 });
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) vi.stubEnv(name, undefined);
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
    const queue = new SqsQueue(url);
    await expect(queue.depth()).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(/^queue http.*secret: CredentialsProviderError: Could not load credentials/),
    });
    await queue.close();
  });

  test("whose server is gone, overloaded, or refuses", async () => {
    let [status, type] = [503, "ServiceUnavailable"];
    const server = createServer((_request, response) => {
      response.writeHead(status, { "content-type": "application/x-amz-json-1.0" });
      response.end(JSON.stringify({ __type: `com.amazonaws.sqs#${type}`, message: "no" }));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const queue = new SqsQueue(`${endpoint}/1/q`, { client: sqsClient(endpoint) });
    await expect(queue.depth()).rejects.toMatchObject({ code: "UNAVAILABLE", retryAfter: 1 });
    [status, type] = [400, "RequestThrottled"];
    await expect(queue.depth()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    [status, type] = [403, "PurgeQueueInProgress"];
    await expect(queue.purge()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    [status, type] = [403, "AccessDeniedException"];
    await expect(queue.depth()).rejects.toMatchObject({
      code: "INTERNAL",
      message: `queue ${queue.url}: AccessDeniedException: no`,
    });
    server.close();
    server.closeAllConnections();
    await expect(queue.depth()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/: not reached: .*ECONN/),
    });
  });

  test.each(["", "queue", "ftp://host/q"])("%j is no queue's URL", (url) => {
    expect(() => new SqsQueue(url)).toThrow(new TypeError(`${JSON.stringify(url)} is no queue's URL`));
  });
});

test("fauxqs with a folder has its messages after a crash, and one that was given back", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "tandem-fauxqs-"));
  try {
    let fauxqs = await startFauxqs({ dataDir });
    const url = await ensureQueue("kept", { visibilityTimeoutSeconds: 60 }, { client: sqsClient(fauxqs.endpoint) });
    await new SqsQueue(url, { client: sqsClient(fauxqs.endpoint) }).send({ body: "kept", attributes: { a: "1" } });
    await fauxqs.kill();
    fauxqs = await startFauxqs({ dataDir });
    const queue = new SqsQueue(url, { client: sqsClient(fauxqs.endpoint) });
    const received = await queue.receive(1, 5);
    expect(received).toMatchObject([{ body: "kept", attributes: { a: "1" }, receiveCount: 1 }]);
    expect(await queue.extend([received[0]!.handle], 0)).toEqual([]);
    expect(await queue.receive(1, 5)).toMatchObject([{ body: "kept", receiveCount: 2 }]);
    await fauxqs.stop();
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
