import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { ensureQueue } from "#shared/aws/ensure-queue.ts";
import { SqsQueue } from "#shared/aws/sqs-queue.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import { answerDeadLetters } from "#shared/delivery/dead-letters.ts";
import type { OutgoingMessage } from "#shared/delivery/message-queue.ts";
import { log } from "#shared/observability/log.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { openStore } from "#shared/store/open-store.ts";
import type { SqsLocation } from "#shared/transport/location.ts";
import { type Fauxqs, startFauxqs } from "../aws/fauxqs.ts";
import { awsEnv, sqsClient } from "../aws/peer.ts";

export interface RigOptions {
  /** Seconds that a received message stays hidden: after so long, a dead worker's calls come again. */
  readonly visibilityTimeout: number;
  /** Deliveries after which a message becomes a dead letter. */
  readonly maxReceiveCount: number;
}

/** A service's queues on an emulator that may be killed, its store, and somebody who answers its dead letters. */
export class Rig implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "tandem-faults-"));
  readonly #queues = join(this.folder, "queues");
  readonly service: string;
  readonly storeUrl = `file:${join(this.folder, "store")}`;
  /** Where the service's executions leave their lines. */
  readonly log = join(this.folder, "executions.log");
  store!: ObjectStore;
  location!: SqsLocation;
  client!: SQSClient;
  emulatorRestarts = 0;
  #emulator!: Fauxqs;
  #answering: Promise<void> | undefined;
  #ended = false;

  private constructor(service: string) {
    this.service = service;
  }

  static async start(service: string, { visibilityTimeout, maxReceiveCount }: RigOptions): Promise<Rig> {
    // Failures are what these programs are about.
    log.level = process.env.TANDEM_LOG_LEVEL ?? "silent";
    const rig = new Rig(service);
    rig.#emulator = await startFauxqs({ dataDir: rig.#queues });
    rig.client = sqsClient(rig.endpoint);
    rig.store = await openStore(rig.storeUrl);
    const ensured = async (name: string, deadLetterUrl?: string): Promise<string> => {
      const deadLetter = deadLetterUrl ? { url: deadLetterUrl, maxReceiveCount } : undefined;
      const config = { visibilityTimeoutSeconds: visibilityTimeout, ...(deadLetter && { deadLetter }) };
      const url = await ensureQueue(name, config, { client: rig.client });
      return new URL(new URL(url).pathname, rig.endpoint).href;
    };
    const dead = await ensured(`${service}-dead`);
    rig.location = { transport: "sqs", queueUrl: await ensured(service, dead), storeUrl: rig.storeUrl };
    rig.#answering = rig.#answer(new SqsQueue(dead, { client: rig.client }), maxReceiveCount);
    return rig;
  }

  get endpoint(): string {
    return this.#emulator.endpoint;
  }

  /** What the service's workers and callers need to reach it, in their environment. */
  get env(): NodeJS.ProcessEnv {
    return { ...awsEnv(this.endpoint), FAULTS_LOG: this.log };
  }

  /** Ends the emulator as a crash does, and starts it again on its port with what it had. */
  async restartEmulator(): Promise<void> {
    await this.#emulator.kill();
    this.#emulator = await startFauxqs({ dataDir: this.#queues, port: Number(new URL(this.endpoint).port) });
    this.emulatorRestarts++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#answering;
    this.client.destroy();
    await this.#emulator.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #answer(queue: SqsQueue, tries: number): Promise<void> {
    const lane = new SqsQueue(this.location.queueUrl, { client: this.client });
    const options = {
      service: this.service,
      objects: new CallObjects(this.store, this.service),
      tries,
      send: (message: OutgoingMessage) => lane.send(message),
    };
    while (!this.#ended) {
      try {
        const settled = await answerDeadLetters(await queue.receive(10, 1), options);
        if (settled.length > 0) await queue.delete(settled.map(({ handle }) => handle));
      } catch (err) {
        log.warn({ err }, "dead letters cannot be received");
      }
    }
  }
}
