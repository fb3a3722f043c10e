import { decodeMessage } from "../delivery/call-message.ts";
import { CallObjects } from "../delivery/call-objects.ts";
import {
  type DeadLetter,
  deadLetterIds,
  deadLetters,
  dropDeadLetter,
  eachDeadLetter,
  redriveDeadLetter,
} from "../delivery/dead-letters.ts";
import type { MessageQueue, QueueDepth } from "../delivery/message-queue.ts";
import { openSqsQueue } from "../delivery/open-queue.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Service } from "../service/contract.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { openStore } from "../store/open-store.ts";
import { readRecord } from "../task/task-record.ts";
import type { QueuePlaces } from "./queue-places.ts";

/** How much waits for a service. */
export interface QueueState {
  readonly service: string;
  readonly normal: QueueDepth;
  readonly priority: QueueDepth;
  /** Messages that were given up, answered or about to be. */
  readonly deadLetters: number;
}

export interface Redriven {
  /** Ids of the letters that were sent again. */
  readonly sent: string[];
  /** Ids of those whose calls have ended otherwise, or whose tasks have expired. */
  readonly dropped: string[];
}

interface Lanes {
  normal: MessageQueue;
  priority: MessageQueue;
  dead: MessageQueue;
}

/** One service's queues, looked at and looked after by hand. */
export class QueueAdmin {
  readonly #service: Service;
  readonly #store: ObjectStore;
  readonly #objects: CallObjects;
  readonly #lanes: Lanes;

  private constructor(service: Service, store: ObjectStore, lanes: Lanes) {
    this.#service = service;
    this.#store = store;
    this.#objects = new CallObjects(store, service.name);
    this.#lanes = lanes;
  }

  static async open(service: Service, { services, storeUrl }: QueuePlaces): Promise<QueueAdmin> {
    const { url, priorityUrl, deadLetterUrl } = services[service.name]!;
    const [store, normal, priority, dead] = await Promise.all([
      openStore(storeUrl),
      openSqsQueue(url),
      openSqsQueue(priorityUrl),
      openSqsQueue(deadLetterUrl),
    ]);
    return new QueueAdmin(service, store, { normal, priority, dead });
  }

  async state(): Promise<QueueState> {
    const { normal, priority, dead } = this.#lanes;
    const [first, second, unanswered, letters] = await Promise.all([
      normal.depth(),
      priority.depth(),
      dead.depth(),
      deadLetterIds(this.#store, this.#service.name),
    ]);
    const deadLetters = letters.length + unanswered.visible;
    return { service: this.#service.name, normal: first, priority: second, deadLetters };
  }

  /** Those that were answered and kept, the oldest first. */
  deadLetters(): ReturnType<typeof deadLetters> {
    return deadLetters(this.#store, this.#service.name);
  }

  /**
   * Sends dead letters again: a call within the service's timeout from now, a task within its own.
   * @param id only this one.
   */
  async redrive(id?: string): Promise<Redriven> {
    const sent: string[] = [];
    const dropped: string[] = [];
    for await (const letter of eachDeadLetter(this.#store, this.#service.name))
      if (id === undefined || letter.id === id)
        if (letter.api !== undefined) ((await this.#redriveOne(letter)) ? sent : dropped).push(letter.id);
    return { sent, dropped };
  }

  async #redriveOne(letter: DeadLetter): Promise<boolean> {
    const task = await readRecord(this.#store, this.#service.name, letter.id);
    const left = task ? (task.expiresAt - Date.now()) / 1000 : this.#service.traffic.timeout;
    if (left <= 0) {
      await dropDeadLetter(this.#store, letter.service, letter.id);
      return false;
    }
    return redriveDeadLetter(letter, {
      objects: this.#objects,
      queue: task?.priority === "high" ? this.#lanes.priority : this.#lanes.normal,
      timeout: Math.min(left, task?.timeout ?? left),
      maxQueueTime: task?.maxQueueTime,
    });
  }

  /**
   * Takes everything that waits off the queues, tells its callers, and forgets the dead letters. What is being worked on
   * goes on. Gives how many messages and letters there were.
   */
  async purge(): Promise<number> {
    let count = 0;
    for (const lane of Object.values(this.#lanes)) count += await this.#drain(lane);
    const ids = await deadLetterIds(this.#store, this.#service.name);
    for (const id of ids) await dropDeadLetter(this.#store, this.#service.name, id);
    return count + ids.length;
  }

  async #drain(lane: MessageQueue): Promise<number> {
    let count = 0;
    while (true) {
      const messages = await lane.receive(10, 0);
      if (messages.length === 0) return count;
      const error = new ServiceError("CANCELED", `the call was purged from ${this.#service.name}'s queue`).toJSON();
      for (const message of messages) {
        const id = callOf(message);
        if (id !== undefined) await this.#objects.putResult(id, { error, finishedAt: Date.now() });
      }
      await lane.delete(messages.map(({ handle }) => handle));
      count += messages.length;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...Object.values(this.#lanes), this.#store].map((one) => one.close()));
  }
}

/** Id of the call in a message; undefined where there is none. */
function callOf(message: Parameters<typeof decodeMessage>[0]): string | undefined {
  try {
    const { kind, id } = decodeMessage(message).call;
    return kind === "call" ? id : undefined;
  } catch {
    return undefined;
  }
}
