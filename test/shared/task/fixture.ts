import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { z } from "zod";
import { decodeMessage } from "#shared/delivery/call-message.ts";
import { CallObjects } from "#shared/delivery/call-objects.ts";
import type { MessageQueue, OutgoingMessage } from "#shared/delivery/message-queue.ts";
import { api, bytes, image, ndarray, service } from "#shared/index.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { Tasks, type TasksOptions } from "#shared/task/tasks.ts";

/** A service with one api of each kind that tasks tell apart. */
export const Painter = service("Painter", {
  apis: {
    paint: api({
      input: z.strictObject({ prompt: z.string(), steps: z.int().default(2), arr: ndarray("uint8").optional() }),
      output: image(),
    }),
    describe: api({ input: z.strictObject({ image: image().optional() }), output: z.object({ text: z.string() }) }),
    stream: api({ stream: true, input: z.strictObject({}), output: z.object({ n: z.int() }) }),
    chunks: api({ stream: true, input: z.strictObject({}), output: bytes() }),
  },
});

/** A lane that keeps what was sent to it. The methods that a submitter does not need fail. */
export class SentMessages implements MessageQueue {
  readonly url = "memory:";
  readonly sent: OutgoingMessage[] = [];
  /** Thrown by the next `send`. */
  failure: Error | undefined;

  /** The calls that wait. */
  get calls() {
    return this.sent.map((message) =>
      decodeMessage({ ...message, messageId: "m", handle: "h", receiveCount: 1, sentAt: 0 }),
    );
  }

  async send(message: OutgoingMessage): Promise<void> {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    this.sent.push(message);
  }

  receive = unused;
  extend = unused;
  delete = unused;
  depth = unused;
  settings = unused;
  purge = unused;
  close = async (): Promise<void> => {};
}

async function unused(): Promise<never> {
  throw new Error("a submitter only sends");
}

/** Tasks of {@link Painter} whose worker is the test. */
export async function painterTasks(options: Partial<TasksOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "tandem-tasks-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new DiskStore(folder);
  const queue = new SentMessages();
  const tasks = new Tasks({ service: Painter, store, queue, ...options });
  return {
    store,
    queue,
    tasks,
    objects: new CallObjects(store, "Painter"),
    again: () => new Tasks({ service: Painter, store, queue, ...options }),
  };
}

/** All of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
