import { setTimeout as delay } from "node:timers/promises";
import { jsonForm } from "../codec/json-form.ts";
import type { CallObjects, CallProgress, CallResult } from "../delivery/call-objects.ts";
import type { Eta } from "../delivery/eta.ts";
import { ServiceError } from "../errors/service-error.ts";
import { pieceItems } from "./stored-items.ts";
import { stateOf, type TaskRecord } from "./task-record.ts";

/** One event of a task; `data` is plain JSON. */
export interface TaskEvent {
  /** Where a client that comes back goes on: what it says as `Last-Event-ID`. */
  readonly id: string;
  readonly event: "queued" | "progress" | "item" | "result" | "error" | "keep-alive";
  readonly data: unknown;
}

export interface TaskEventsOptions {
  /** The last event that the client has seen; it gets those after it. */
  lastEventId?: string | undefined;
  /** Ends the events. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without news after which a `keep-alive` comes. Default 15000. */
  keepAliveMs?: number | undefined;
}

interface Source {
  readonly objects: CallObjects;
  readonly record: TaskRecord;
  readonly stream: boolean;
  readonly eta: () => Promise<Eta | undefined>;
}

/** Id of the last event: nothing follows it. */
export const LAST_EVENT = "end";
const KEEP_ALIVE_MS = 15_000;
/** Waits between two looks at the store: short for short tasks, then longer. */
const FIRST_LOOK_MS = 50;
const LOOK_GROWTH = 1.5;
const LONGEST_LOOK_MS = 1_000;
/** Least time between two estimates for a task that waits. */
const ETA_EVERY_MS = 2_000;

/** How far a reader has come: the piece of the stream, the items read of it, the newest report and whose it was. */
interface Cursor {
  piece: number;
  item: number;
  sequence: number;
  run: string;
}

/**
 * What happens to a task, read off the store: `queued` while it waits, `progress` (the newest report only), an `item` for
 * each that a stream gives, and one `result` or `error`, after which it ends.
 */
export async function* taskEvents(source: Source, options: TaskEventsOptions = {}): AsyncGenerator<TaskEvent> {
  const { objects, record, stream } = source;
  const { signal, keepAliveMs = KEEP_ALIVE_MS } = options;
  if (options.lastEventId === LAST_EVENT) return;
  const cursor = cursorFrom(options.lastEventId);
  const waiting = new Waiting(source.eta);
  let wait = FIRST_LOOK_MS;
  let saidAt = performance.now();
  try {
    while (true) {
      // The result is read first: what was stored before it is found after it.
      const result = await objects.result(record.id, signal);
      const progress = result ? undefined : await objects.progress(record.id, signal);
      const news: AsyncIterable<TaskEvent>[] = [];
      if (stream) news.push(newItems(objects, record.id, cursor, signal));
      if (progress) news.push(newReport(progress, cursor));
      else if (!result) news.push(waiting.news(cursor));
      for (const events of news)
        for await (const event of events) {
          yield event;
          saidAt = performance.now();
        }
      const last = result ? lastEvent(record, result) : Date.now() >= record.expiresAt ? expired(record) : undefined;
      if (last) {
        yield last;
        return;
      }
      if (performance.now() - saidAt >= keepAliveMs) {
        yield { id: textOf(cursor), event: "keep-alive", data: {} };
        saidAt = performance.now();
      }
      await delay(Math.min(wait, keepAliveMs), undefined, { signal });
      wait = Math.min(LONGEST_LOOK_MS, wait * LOOK_GROWTH);
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/** Tells a waiting task's place, and again when it has changed. */
class Waiting {
  readonly #eta: Source["eta"];
  #askAt = 0;
  #said: string | undefined;

  constructor(eta: Source["eta"]) {
    this.#eta = eta;
  }

  async *news(cursor: Cursor): AsyncGenerator<TaskEvent> {
    if (performance.now() < this.#askAt) return;
    const estimate = await this.#eta();
    this.#askAt = performance.now() + ETA_EVERY_MS;
    const data = { ahead: estimate?.ahead ?? null, eta: estimate ?? null };
    const text = JSON.stringify(data);
    if (text === this.#said) return;
    this.#said = text;
    yield { id: textOf(cursor), event: "queued", data };
  }
}

async function* newReport(progress: CallProgress, cursor: Cursor): AsyncGenerator<TaskEvent> {
  const { run, sequence, fraction, preview } = progress;
  if (run === cursor.run && sequence <= cursor.sequence) return;
  Object.assign(cursor, { run, sequence });
  yield {
    id: textOf(cursor),
    event: "progress",
    data: { fraction, ...(preview && { preview: dataUrl(preview) }) },
  };
}

async function* newItems(
  objects: CallObjects,
  id: string,
  cursor: Cursor,
  signal: AbortSignal | undefined,
): AsyncGenerator<TaskEvent> {
  for (let piece = await objects.items(id, cursor.piece, signal); piece; ) {
    let at = 0;
    for await (const item of pieceItems(piece)) {
      if (item.kind !== "value" || at++ < cursor.item) continue;
      cursor.item = at;
      yield { id: textOf(cursor), event: "item", data: jsonForm(item.value) ?? null };
    }
    cursor.piece++;
    cursor.item = 0;
    piece = await objects.items(id, cursor.piece, signal);
  }
}

function lastEvent({ id, api }: TaskRecord, result: CallResult): TaskEvent {
  const status = stateOf(result, undefined);
  if (result.error) return { id: LAST_EVENT, event: "error", data: { status, ...result.error } };
  return { id: LAST_EVENT, event: "result", data: { status, url: `/${api}/get?task_id=${id}` } };
}

function expired({ id }: TaskRecord): TaskEvent {
  const error = new ServiceError("GONE", `task ${id} has expired`);
  return { id: LAST_EVENT, event: "error", data: { status: "failed", ...error.toJSON() } };
}

function textOf({ piece, item, sequence, run }: Cursor): string {
  return [piece, item, sequence, run].join(".");
}

/** An id that is none of ours starts from the beginning. */
function cursorFrom(text = ""): Cursor {
  const [, piece, item, sequence, run] = /^(\d{1,6})\.(\d{1,9})\.(-1|\d{1,9})\.([\w-]*)$/.exec(text) ?? [];
  return { piece: Number(piece ?? 0), item: Number(item ?? 0), sequence: Number(sequence ?? -1), run: run ?? "" };
}

function dataUrl(picture: Uint8Array): string {
  const bytes = Buffer.from(picture.buffer, picture.byteOffset, picture.byteLength);
  return `data:${mediaTypeOf(bytes)};base64,${bytes.toString("base64")}`;
}

function mediaTypeOf(picture: Buffer): string {
  const magic = picture.toString("latin1", 0, 12);
  if (magic.startsWith("\xff\xd8")) return "image/jpeg";
  if (magic.startsWith("\x89PNG")) return "image/png";
  return magic.endsWith("WEBP") ? "image/webp" : "application/octet-stream";
}
