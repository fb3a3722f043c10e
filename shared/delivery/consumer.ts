import { setTimeout as delay } from "node:timers/promises";
import { ServiceError } from "../errors/service-error.ts";
import { log } from "../observability/log.ts";
import type { MessageQueue, QueueSettings, ReceivedMessage } from "./message-queue.ts";

/** A message on its way through the handler. */
export interface Delivery {
  readonly message: ReceivedMessage;
  /** No further delivery follows this one: if it fails, the message goes to the dead-letter queue. */
  readonly last: boolean;
  /** Fires when the consumer stops and its grace time is over. */
  readonly signal: AbortSignal;
  /**
   * Gives the place to another message while this one is kept, for a handler that only waits: of ten such messages at most.
   * @param light the message is small and its handler waits for a bounded time: of a hundred at most.
   */
  yieldPlace(light?: boolean): void;
  /**
   * Has nothing else worked on beside this message until it is settled: waits for what is in work, or with `now` gives
   * false where something is. False, too, where it cannot be had.
   */
  alone(now?: boolean): Promise<boolean>;
}

/** `done` deletes the message; the other gives it back, to be delivered again so many seconds later. */
export type Outcome = "done" | { readonly againAfter: number };

export interface ConsumerOptions {
  readonly queue: MessageQueue;
  /** Emptied first. */
  readonly priorityQueue?: MessageQueue | undefined;
  /** What both were made with; they are asked where left out. */
  readonly settings?: QueueSettings | undefined;
  /** Messages handled at once: no more are received. */
  readonly places: number;
  readonly handle: (delivery: Delivery) => Promise<Outcome>;
  /** Seconds of a long poll, 1 to 20. A stop waits for the one under way. Default 20. */
  readonly waitSeconds?: number | undefined;
  /** Hears when the first message comes and when the last one has gone. */
  readonly onBusy?: ((busy: boolean) => void) | undefined;
}

/** Long poll of the normal lane where there is a priority lane to look after, too: seconds. */
const LANE_WAIT = 1;
/** Messages whose handlers gave their places up; with so many, no more are received. */
const MAX_WAITING = 10;
/** The same of those that hold next to nothing meanwhile. */
const MAX_LIGHT = 100;
/** Finished messages are deleted in batches as large as SQS takes, after so long at the latest. */
const BATCH = 10;
const DELETE_AFTER_MS = 100;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

interface Held {
  readonly message: ReceivedMessage;
  readonly lane: Lane;
  /** When it was last hidden, by `performance.now()`. */
  hiddenAt: number;
  /** Ends when the last request to hide it has. */
  hiding: Promise<unknown> | undefined;
  place: boolean;
  /** It has no place, and holds next to nothing. */
  light: boolean;
  /** Not begun yet: another message is worked on alone. */
  waiting: boolean;
}

interface Lane {
  readonly queue: MessageQueue;
  /** Milliseconds. */
  readonly visibility: number;
  readonly maxReceiveCount: number;
  readonly finished: string[];
}

/**
 * Takes messages off a service's lanes: as many as there are free places, hidden from others for as long as they are
 * worked on (a heartbeat before half of the visibility timeout is over), deleted in batches when done. A message is
 * settled by itself: a slow one holds up nobody, which is what sqs-consumer's batches do (docs/queue.md has figures).
 */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #held = new Set<Held>();
  readonly #grace = new AbortController();
  readonly #settling = new Set<Promise<unknown>>();
  /** Messages that are, or are to be, worked on with nothing beside them; the first one's turn it is. */
  readonly #loners: Held[] = [];
  #lanes: Lane[] = [];
  readonly #stopping = new AbortController();
  #busy = 0;
  #light = 0;
  #activeAt = performance.now();
  #loop: Promise<void> | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #flush: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
  }

  /** Messages in work. */
  get inFlight(): number {
    return this.#held.size;
  }

  /** Seconds since it last asked for messages or ended one. */
  get idleSeconds(): number {
    return (performance.now() - this.#activeAt) / 1000;
  }

  /** @throws ServiceError when the queues cannot be reached. */
  async start(): Promise<void> {
    const { queue, priorityQueue } = this.#options;
    const lanes = [priorityQueue, queue].filter((one) => one !== undefined);
    this.#lanes = await Promise.all(
      lanes.map(async (lane): Promise<Lane> => {
        const { visibilityTimeout, maxReceiveCount = Number.POSITIVE_INFINITY } =
          this.#options.settings ?? (await lane.settings());
        return { queue: lane, visibility: Math.max(1, visibilityTimeout) * 1000, maxReceiveCount, finished: [] };
      }),
    );
    const shortest = Math.min(...this.#lanes.map(({ visibility }) => visibility));
    this.#heartbeat = setInterval(() => this.#hide(), shortest / 6);
    this.#loop = this.#receiveAll();
  }

  /** Stops receiving, waits for the messages in work, aborts what is left after `graceSeconds` and gives it back. */
  async stop(graceSeconds = 30): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    const timer = setTimeout(
      () => this.#grace.abort(new ServiceError("UNAVAILABLE", "the worker is stopping")),
      graceSeconds * 1000,
    );
    await this.#loop;
    while (this.#held.size > 0) await this.#freed();
    clearTimeout(timer);
    clearInterval(this.#heartbeat);
    this.#deleteFinished();
    await Promise.all(this.#settling);
  }

  async #receiveAll(): Promise<void> {
    let backoff = FIRST_BACKOFF_MS;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const room = Math.min(BATCH, this.#options.places - this.#busy);
      const waiting = this.#held.size - this.#busy - this.#light;
      if (room <= 0 || this.#loners.length > 0 || waiting >= MAX_WAITING || this.#light >= MAX_LIGHT) {
        await this.#freed();
        continue;
      }
      this.#activeAt = performance.now();
      try {
        await this.#receive(room);
        backoff = FIRST_BACKOFF_MS;
      } catch (err) {
        log.warn({ err, backoff }, "messages cannot be received");
        await delay(backoff, undefined, { signal }).catch(() => undefined);
        backoff = Math.min(LONGEST_BACKOFF_MS, backoff * 2);
      }
    }
  }

  async #receive(room: number): Promise<void> {
    const wait = this.#options.waitSeconds ?? 20;
    for (const [index, lane] of this.#lanes.entries()) {
      const first = index < this.#lanes.length - 1;
      const messages = await lane.queue.receive(
        room,
        first ? 0 : this.#lanes.length > 1 ? Math.min(wait, LANE_WAIT) : wait,
      );
      for (const message of messages) this.#take(message, lane);
      if (messages.length > 0) return;
    }
  }

  #take(message: ReceivedMessage, lane: Lane): void {
    const held: Held = {
      message,
      lane,
      hiddenAt: performance.now(),
      hiding: undefined,
      place: true,
      light: false,
      waiting: false,
    };
    if (this.#held.size === 0) this.#options.onBusy?.(true);
    this.#held.add(held);
    this.#busy++;
    if (this.#stopping.signal.aborted) {
      this.#settle(held, { againAfter: 0 });
      return;
    }
    const delivery: Delivery = {
      message,
      last: message.receiveCount >= lane.maxReceiveCount,
      signal: this.#grace.signal,
      yieldPlace: (light = false) => this.#freePlace(held, light),
      alone: (now) => this.#alone(held, now),
    };
    // A receive that was under way may bring messages to a worker that is to do one thing only.
    const free = this.#loners.length > 0 ? this.#noLoners(held) : undefined;
    const handled =
      free !== undefined ? free.then(() => this.#options.handle(delivery)) : this.#options.handle(delivery);
    handled.then(
      (outcome) => this.#settle(held, outcome),
      (err: unknown) => {
        log.error({ err, message_id: message.messageId }, "a message could not be handled");
        this.#settle(held, { againAfter: 1 });
      },
    );
  }

  async #alone(held: Held, now = false): Promise<boolean> {
    const others = (): boolean =>
      [...this.#held].some((one) => one !== held && one.place && !one.waiting && !this.#loners.includes(one));
    if (now && (this.#loners.length > 0 || others())) return false;
    this.#loners.push(held);
    while (this.#loners[0] !== held || others()) await this.#freed();
    return true;
  }

  async #noLoners(held: Held): Promise<void> {
    held.waiting = true;
    while (this.#loners.length > 0) await this.#freed();
    held.waiting = false;
  }

  #settle(held: Held, outcome: Outcome): void {
    const { lane, message } = held;
    this.#activeAt = performance.now();
    this.#held.delete(held);
    if (this.#loners.includes(held)) this.#loners.splice(this.#loners.indexOf(held), 1);
    if (outcome === "done") {
      lane.finished.push(message.handle);
      if (lane.finished.length >= BATCH) this.#deleteFinished();
      else this.#flush ??= setTimeout(() => this.#deleteFinished(), DELETE_AFTER_MS);
    } else this.#track(this.#giveBack(held, Math.max(0, Math.ceil(outcome.againAfter))));
    if (this.#held.size === 0) this.#options.onBusy?.(false);
    this.#freePlace(held);
    if (held.light) this.#light--;
    this.#wake?.();
  }

  /** After the heartbeat under way, which would hide the message again. */
  async #giveBack({ lane, message, hiding }: Held, seconds: number): Promise<string[]> {
    await hiding;
    return lane.queue.extend([message.handle], seconds);
  }

  #freePlace(held: Held, light = false): void {
    if (!held.place) return;
    held.place = false;
    held.light = light;
    this.#busy--;
    if (light) this.#light++;
    this.#wake?.();
  }

  #deleteFinished(): void {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    for (const { queue, finished } of this.#lanes)
      if (finished.length > 0) this.#track(queue.delete(finished.splice(0)));
  }

  /** A message that cannot be deleted or extended comes again; its result, or its lease, is there by then. */
  #track(work: Promise<string[]>): void {
    const settled = work
      .then((failed) => {
        if (failed.length > 0) log.warn({ failed: failed.length }, "messages could not be settled; they come again");
      })
      .catch((err: unknown) => log.warn({ err }, "messages could not be settled; they come again"))
      .finally(() => this.#settling.delete(settled));
    this.#settling.add(settled);
  }

  /** Extends the visibility of what a third of it has passed for. */
  #hide(): void {
    const now = performance.now();
    for (const lane of this.#lanes) {
      const due = [...this.#held].filter((held) => held.lane === lane && now - held.hiddenAt > lane.visibility / 3);
      if (due.length === 0) continue;
      for (const held of due) held.hiddenAt = now;
      const extended = lane.queue.extend(
        due.map(({ message }) => message.handle),
        lane.visibility / 1000,
      );
      // Tried again at the next beat.
      const hiding = extended.catch(() => {
        for (const held of due) held.hiddenAt -= lane.visibility / 2;
      });
      for (const held of due) held.hiding = hiding;
      this.#track(extended);
    }
  }

  /** Waits until a place is free or a message has gone. */
  #freed(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        this.#wake = undefined;
        before?.();
        resolve();
      };
    });
  }
}
