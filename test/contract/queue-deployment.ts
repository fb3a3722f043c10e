import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { type RunningConsumer, startConsumer } from "#shared/delivery/start-consumer.ts";
import { log } from "#shared/observability/log.ts";
import { clientOf } from "#shared/service/client.ts";
import type { Service } from "#shared/service/contract.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import type { SqsLocation } from "#shared/transport/location.ts";
import { SqsTransport } from "#shared/transport/sqs-client.ts";
import type { Transport } from "#shared/transport/transport.ts";
import { startFauxqs } from "../aws/fauxqs.ts";
import { sqsClient } from "../aws/peer.ts";
import type { Deploy } from "./deployment.ts";

// Failures are what these tests are about.
log.level = "silent";

/** Every service behind queues of its own, on an SQS server in another process and a store on the disk. */
export const deployOverQueues: Deploy = async (deployables) => {
  const folder = mkdtempSync(join(tmpdir(), "tandem-contract-"));
  const peer = await startFauxqs();
  const client = sqsClient(peer.endpoint);
  const openQueue = async (url: string) => new SqsQueue(url, { client });
  const hosts = new Map<string, ServiceHost>();
  const consumers: RunningConsumer[] = [];
  const transports = new Map<string, SqsTransport>();
  const transportOf = async (service: Service): Promise<Transport> => transports.get(service.name)!;
  class Here extends Discovery {
    override transportOf = transportOf;
  }
  const discovery = new Here([], {});
  for (const deployable of deployables) {
    const { name } = deployable.service;
    const dead = await ensureQueue(`${name}-dead`, { visibilityTimeoutSeconds: 30 }, { client });
    const config = { visibilityTimeoutSeconds: 30, deadLetter: { url: dead, maxReceiveCount: 3 } };
    const location: SqsLocation = {
      transport: "sqs",
      queueUrl: await ensureQueue(name, config, { client }),
      priorityQueueUrl: await ensureQueue(`${name}-priority`, config, { client }),
      storeUrl: `file:${folder}`,
    };
    transports.set(name, new SqsTransport(name, location, openQueue));
    const host = await ServiceHost.start(deployable, discovery);
    hosts.set(name, host);
    const consumer = await startConsumer(host, {
      urls: { url: location.queueUrl, priorityUrl: location.priorityQueueUrl },
      storeUrl: location.storeUrl,
      waitSeconds: 1,
      backoffSeconds: 0,
      readySeconds: 0.05,
      openQueue,
    });
    consumers.push(consumer);
  }
  return {
    host: ({ name }) => hosts.get(name)!,
    transport: ({ name }) => transports.get(name)!,
    client: (service) => clientOf(service, () => transportOf(service)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(consumers.map((consumer) => consumer.stop(0)));
      for (const host of hosts.values()) await host.stop(0);
      for (const transport of transports.values()) await transport.close();
      client.destroy();
      await peer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
