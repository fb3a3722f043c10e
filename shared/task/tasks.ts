import { encodeFrame, type Frame } from "../codec/frame.ts";
import { CallObjects } from "../delivery/call-objects.ts";
import type { Eta } from "../delivery/eta.ts";
import type { MessageQueue } from "../delivery/message-queue.ts";
import { QueueWatch } from "../delivery/queue-watch.ts";
import { WorkerReports } from "../delivery/worker-report.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { Api, Service } from "../service/contract.ts";
import { parseInput } from "../service/validation.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { checkCallbackUrl } from "./callback-url.ts";
import { type Estimates, estimatesFrom } from "./estimates.ts";
import { storedValues } from "./stored-items.ts";
import { againRecord, checkOptions, messageOf, newRecord, type SubmitOptions } from "./submission.ts";
import { type TaskEvent, type TaskEventsOptions, taskEvents } from "./task-events.ts";
import { isoTime, readRecord, stateOf, type TaskRecord, type TaskState, writeRecord } from "./task-record.ts";

export interface TasksOptions {
  service: Service;
  store: ObjectStore;
  queue: MessageQueue;
  /** The lane that is emptied first; without one, priority has no effect. */
  priorityQueue?: MessageQueue | undefined;
  /** Seconds that a task is known for, from its submission. Default 86400. */
  retentionSeconds?: number | undefined;
  /** Throws where a callback URL is not allowed. Default {@link checkCallbackUrl}, with the environment's settings. */
  allowCallback?: ((url: string) => void) | undefined;
  /** By default from what is seen of the queue and its workers. */
  estimates?: Estimates | undefined;
}

/** A task as BentoML's clients know it, and what we know besides. Times are ISO 8601. */
export interface TaskStatus {
  readonly task_id: string;
  readonly status: TaskState;
  readonly created_at: string;
  readonly executed_at: string | null;
  readonly completed_at: string | null;
  /** From 0 to 1; undefined until work has begun. */
  readonly progress?: number;
  readonly eta?: Eta;
}

export type SubmittedTask = Pick<TaskStatus, "task_id" | "status">;

const RETENTION_SECONDS = 86_400;

/**
 * One service's tasks: calls whose message waits in the service's own queue and whose result is fetched later. Whoever
 * runs them, wherever, all that is known of a task is in the store, so that any process with the same store and queue may
 * be asked for it.
 */
export class Tasks {
  readonly service: Service;
  readonly #options: TasksOptions;
  readonly #objects: CallObjects;
  readonly #estimates: Estimates;
  readonly #retentionMs: number;

  constructor(options: TasksOptions) {
    const { service, store, queue, priorityQueue } = options;
    const reports = new WorkerReports(store, service.name);
    this.service = service;
    this.#options = options;
    this.#objects = new CallObjects(store, service.name);
    this.#estimates = options.estimates ?? estimatesFrom(new QueueWatch({ queue, priorityQueue, reports }));
    this.#retentionMs = (options.retentionSeconds ?? RETENTION_SECONDS) * 1000;
  }

  /**
   * Checks the input, stores it and puts its message on the queue. A submitter that dies on the way leaves a task that
   * nobody has heard of, or one that runs: its id is told last, and the same idempotency key goes on where it stopped.
   * @throws ServiceError NOT_FOUND for an unknown api, INVALID_ARGUMENT for a wrong input or option, CONFLICT where the
   * idempotency key belongs to another input, GONE where its task has expired.
   */
  async submit(api: string, input: unknown, options: SubmitOptions = {}): Promise<SubmittedTask> {
    const frame = encodeFrame(parseInput(this.#api(api).input, input));
    checkOptions(options);
    if (options.callback !== undefined) (this.#options.allowCallback ?? checkCallbackUrl)(options.callback);
    const record = newRecord(this.service.name, api, frame, options, this.#retentionMs);
    return record.idempotencyKey === undefined ? this.#begin(record, frame) : this.#beginOnce(record, frame);
  }

  /** @throws ServiceError NOT_FOUND for an id that is unknown or another api's, GONE once the task has expired. */
  async status(api: string, id: string): Promise<TaskStatus> {
    const record = await this.#record(api, id);
    const result = await this.#objects.result(id);
    const progress = result ? undefined : await this.#objects.progress(id);
    const executedAt = result?.startedAt ?? progress?.startedAt;
    const eta = result ? undefined : await this.#estimates.eta(record, progress);
    return {
      task_id: id,
      status: stateOf(result, progress),
      created_at: isoTime(record.createdAt),
      executed_at: executedAt === undefined ? null : isoTime(executedAt),
      completed_at: result ? isoTime(result.finishedAt) : null,
      ...(result && !result.error && { progress: 1 }),
      ...(progress && { progress: progress.fraction }),
      ...(eta && { eta }),
    };
  }

  /**
   * What the task gave: its output, or for an api that streams an async iterable of all that it streamed.
   * @throws ServiceError INVALID_ARGUMENT while it is not finished, the task's own error where it failed, CANCELED where
   * it was canceled; NOT_FOUND and GONE as {@link Tasks.status}.
   */
  async result(api: string, id: string): Promise<unknown> {
    await this.#record(api, id);
    const result = await this.#objects.result(id);
    if (!result) throw notCompleted(id);
    if (result.error) throw ServiceError.fromJSON(result.error);
    return this.#api(api).stream ? storedValues(this.#objects, id) : result.output;
  }

  /**
   * Cancels a task: one that waits is not begun, one in work is aborted within about a second. The first result stands,
   * so that a finished task stays what it was.
   */
  async cancel(api: string, id: string): Promise<TaskStatus> {
    await this.#record(api, id);
    const progress = await this.#objects.progress(id);
    await this.#objects.putResult(id, {
      error: new ServiceError("CANCELED", `task ${id} was canceled`).toJSON(),
      ...(progress && { startedAt: progress.startedAt }),
      finishedAt: Date.now(),
    });
    return this.status(api, id);
  }

  /**
   * Runs a finished task's input again, as a new task with the old one's options, as BentoML does.
   * @throws ServiceError INVALID_ARGUMENT while it is not finished; NOT_FOUND and GONE as {@link Tasks.status}.
   */
  async retry(api: string, id: string): Promise<SubmittedTask> {
    const old = await this.#record(api, id);
    if (!(await this.#objects.hasResult(id))) throw notCompleted(id);
    const input = await this.#objects.input(id);
    if (!input) throw new ServiceError("GONE", `the input of task ${id} has expired`);
    return this.#begin(againRecord(old, this.#retentionMs), { chunks: [input], byteLength: input.byteLength });
  }

  /**
   * What happens to the task from now on, or from the event that a client names as its last.
   * @throws ServiceError NOT_FOUND and GONE as {@link Tasks.status}; before the first event.
   */
  async events(api: string, id: string, options: TaskEventsOptions = {}): Promise<AsyncIterable<TaskEvent>> {
    const record = await this.#record(api, id);
    const { stream } = this.#api(api);
    const eta = (): Promise<Eta | undefined> => this.#estimates.eta(record, undefined);
    return taskEvents({ objects: this.#objects, record, stream, eta }, options);
  }

  async #begin(record: TaskRecord, frame: Frame): Promise<SubmittedTask> {
    const placed = await this.#stored(record, frame);
    await this.#write(placed);
    await this.#send(placed);
    return { task_id: record.id, status: "pending" };
  }

  /**
   * The id follows from the key, so that whoever comes with it again finds the task, and finishes what is not done. A call
   * that is waited for has the same id under the same key: what it gave is the task's result, what it failed with is not.
   */
  async #beginOnce(record: TaskRecord, frame: Frame): Promise<SubmittedTask> {
    const { id, fingerprint, createdAt } = record;
    // Claimed before the input is written: another input under the same key must not replace this one's.
    if (!(await this.#objects.claimKey(id, { fingerprint, createdAt }))) {
      const holder = await this.#objects.key(id);
      if (holder && holder.fingerprint !== fingerprint)
        throw new ServiceError("CONFLICT", "the Idempotency-Key was used with another input; use a new key");
      const known = await this.#read(id);
      if (known && Date.now() >= known.expiresAt)
        throw new ServiceError("GONE", "the Idempotency-Key's task has expired; use a new key");
      if (known?.sentAt !== undefined) return { task_id: id, status: await this.#state(id) };
      if (!known && (await this.#objects.result(id))?.error) await this.#objects.deleteResult(id);
    }
    const placed = await this.#stored(record, frame);
    const first = await this.#write(placed, { ifAbsent: true });
    const task = first ? placed : ((await this.#read(id)) ?? placed);
    const status = await this.#state(id);
    if (status === "pending") await this.#send(task);
    await this.#write({ ...task, sentAt: Date.now() });
    return { task_id: id, status };
  }

  /** Stores a task's input, and looks meanwhile what is before it. */
  async #stored(record: TaskRecord, frame: Frame): Promise<TaskRecord> {
    const [place] = await Promise.all([
      this.#estimates.place(record.priority),
      this.#objects.putInput(record.id, frame),
    ]);
    return place ? { ...record, place } : record;
  }

  async #send(record: TaskRecord): Promise<void> {
    const { queue, priorityQueue } = this.#options;
    const lane = record.priority === "high" ? (priorityQueue ?? queue) : queue;
    await lane.send(messageOf(record));
  }

  async #state(id: string): Promise<TaskState> {
    const result = await this.#objects.result(id);
    return stateOf(result, result ? undefined : await this.#objects.progress(id));
  }

  async #record(api: string, id: string): Promise<TaskRecord> {
    this.#api(api);
    const record = await this.#read(id);
    if (record?.api !== api) throw new ServiceError("NOT_FOUND", `${api} has no task "${id.slice(0, 64)}"`);
    if (Date.now() >= record.expiresAt) throw new ServiceError("GONE", `task ${id} has expired`);
    return record;
  }

  #read(id: string): Promise<TaskRecord | undefined> {
    return readRecord(this.#options.store, this.service.name, id);
  }

  #write(record: TaskRecord, options?: { ifAbsent: boolean }): Promise<boolean> {
    return writeRecord(this.#options.store, this.service.name, record, options);
  }

  #api(name: string): Api {
    const { apis } = this.service;
    const api = Object.hasOwn(apis, name) ? apis[name] : undefined;
    if (!api) throw new ServiceError("NOT_FOUND", `${this.service.name} has no api "${name}"`);
    return api;
  }
}

/** What may be asked of a service's tasks. */
export type ServiceTasks = Pick<Tasks, keyof Tasks>;

function notCompleted(id: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `task ${id} is not completed yet`);
}
