import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { startConsumer } from "#shared/delivery/start-consumer.ts";
import { WorkerReports } from "#shared/delivery/worker-report.ts";
import { type Apis, api, type CallContext, implement, type Lifecycle, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { clientOf } from "#shared/service/client.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import { type Fauxqs, startFauxqs } from "../../aws/fauxqs.ts";
import { sqsClient } from "../../aws/peer.ts";
import { Gate } from "../../contract/gate.ts";

log.level = "silent";

const Painter = service("Painter", {
  traffic: { maxConcurrency: 16, concurrency: 8 },
  apis: { paint: api({ input: z.strictObject({}), output: z.null() }) },
});

class PainterImpl extends implement(Painter) implements Apis<typeof Painter>, Lifecycle {
  readonly gate = new Gate();
  useful: number;

  constructor(useful: number) {
    super();
    this.useful = useful;
  }

  queuePlaces(): number {
    return this.useful;
  }

  async paint(_: object, { signal }: CallContext): Promise<null> {
    await this.gate.pass(signal);
    return null;
  }
}

let peer: Fauxqs;
const folder = mkdtempSync(join(tmpdir(), "tandem-places-"));
beforeAll(async () => {
  peer = await startFauxqs();
});
afterAll(async () => {
  await peer?.stop();
  await rm(folder, { recursive: true });
});

it("a worker takes no more messages than it has a use for, and its callers are told", async () => {
  const client = sqsClient(peer.endpoint);
  const openQueue = async (url: string) => new SqsQueue(url, { client });
  const queueUrl = await ensureQueue("Painter", { visibilityTimeoutSeconds: 30 }, { client });
  const painter = new PainterImpl(2);
  const host = new ServiceHost(Painter, painter);
  await host.start();
  const storeUrl = `file:${folder}`;
  const consumer = await startConsumer(host, { urls: { url: queueUrl }, storeUrl, openQueue, waitSeconds: 1 });
  const transport = new SqsTransport("Painter", { transport: "sqs", queueUrl, storeUrl }, openQueue);
  const painters = clientOf(Painter, async () => transport);
  const calls = Array.from({ length: 5 }, () => painters.paint({}));
  const queue = await openQueue(queueUrl);
  await expect.poll(() => queue.depth(), { timeout: 10_000 }).toMatchObject({ visible: 3, inFlight: 2 });
  await expect
    .poll(() => new WorkerReports(new DiskStore(folder), "Painter").list(), { timeout: 10_000 })
    .toMatchObject([{ places: 2 }]);
  expect(host.inFlight).toBe(2);
  painter.gate.open();
  await Promise.all(calls);
  await transport.close();
  await consumer.stop(5);
  client.destroy();
});

it.each([
  [8, 2, 2],
  [8, 100, 8],
  [8, 0, 1],
  [100, 100, 16],
])("of %s places that it may have, one with a use for %s takes %s", async (allowed, useful, taken) => {
  expect(new ServiceHost(Painter, new PainterImpl(useful)).queuePlaces(allowed)).toBe(taken);
});
