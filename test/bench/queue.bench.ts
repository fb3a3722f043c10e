/**
 * Calls and messages through SQS: `node test/bench/queue.bench.ts`. The server is fauxqs, the store versitygw where Go is
 * there to build it (fauxqs's own S3 otherwise), both in processes of their own.
 *
 * A round trip of a service that does nothing, in another process, against what cannot be saved: one send, one receive, one
 * put and one get, one after the other with the bare SDK; with servers next door, with servers as far away as AWS's are, and
 * with results on the disk (bare: plain files, which take next to nothing). Then messages of 1 kB through the consumer
 * against a bare loop of receive and delete, and against sqs-consumer; and how long fast messages wait for a slow one.
 */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { log } from "#shared/observability/log.ts";
import { startFauxqs } from "../aws/fauxqs.ts";
import { startVersityGw } from "../peers/aws/versitygw.ts";
import { type BenchRow, report } from "./bench-row.ts";
import { startFarProxy } from "./far-proxy.ts";
import { consumerRows } from "./queue-consumers.ts";
import { roundTrips } from "./queue-round-trip.ts";

/** What a round trip over S3 may take, as a multiple of its four requests. */
const BOUND = 1.3;
/** Milliseconds that an answer takes from servers that are far away. */
const FAR_MS = 10;

export async function run(): Promise<BenchRow[]> {
  log.level = "silent";
  const folder = mkdtempSync(join(tmpdir(), "tandem-bench-"));
  const fauxqs = await startFauxqs();
  const versitygw = await startVersityGw().catch((error: unknown) => console.error(`no versitygw: ${error}`));
  const near = { sqs: fauxqs.endpoint, s3: (versitygw ?? fauxqs).endpoint };
  const [farSqs, farS3] = await Promise.all([startFarProxy(near.sqs, FAR_MS), startFarProxy(near.s3, FAR_MS)]);
  const far = { sqs: farSqs.endpoint, s3: farS3.endpoint };
  const store = versitygw ? "versitygw" : "fauxqs's S3";
  try {
    return [
      ...(await roundTrips({ name: store, ...near, folder, turns: 8, bound: BOUND })),
      ...(await roundTrips({ name: `${store}, ${FAR_MS} ms away`, ...far, folder, turns: 1, bound: BOUND })),
      ...(await roundTrips({ name: "results on the disk", sqs: near.sqs, folder, turns: 8 })),
      ...(await consumerRows(near.sqs)),
    ];
  } finally {
    farSqs.close();
    farS3.close();
    await versitygw?.stop();
    await fauxqs.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) process.exit(report(await run()) > 0 ? 1 : 0);
