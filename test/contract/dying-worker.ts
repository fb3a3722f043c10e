/** A process that takes calls of {@link Mortal} off its queue: `dying-worker.ts QUEUE STORE ENDPOINT`, tells its parent when it does. */
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { CallRunner } from "#shared/delivery/call-runner.ts";
import { Consumer } from "#shared/delivery/consumer.ts";
import { deployable } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { openStore } from "#shared/store/open-store.ts";
import { sqsClient } from "../aws/peer.ts";
import { Mortal, MortalImpl } from "./dying-service.ts";

log.level = "silent";
const [queueUrl, storeUrl, endpoint] = process.argv.slice(2) as [string, string, string];
const host = await ServiceHost.start(
  deployable(Mortal, async () => ({ default: MortalImpl })),
  new Discovery([], {}),
);
const objects = new CallObjects(await openStore(storeUrl), Mortal.name);
// A worker that died is missed sooner than in earnest.
const { handle } = new CallRunner({ host, objects, leaseSeconds: 1 });
const queue = new SqsQueue(queueUrl, { client: sqsClient(endpoint) });
await new Consumer({ queue, places: 4, handle, waitSeconds: 1 }).start();
process.once("disconnect", () => process.exit(0));
process.send!("started");
