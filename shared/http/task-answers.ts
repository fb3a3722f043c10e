import type { Context } from "hono";
import { decodeFrame } from "../codec/frame.ts";
import { FRAME_TYPE } from "../codec/media-types.ts";
import { ServiceError } from "../errors/service-error.ts";
import type { SubmitOptions } from "../task/submission.ts";
import { LAST_EVENT } from "../task/task-events.ts";
import type { ServiceTasks } from "../task/tasks.ts";
import { CALL_HEADERS, incomingCall } from "../transport/call-headers.ts";
import { answer } from "./answer.ts";
import { eventStream } from "./event-stream.ts";
import { requestInput } from "./request-input.ts";
import { TASK_HEADERS } from "./task-headers.ts";
import type { TASK_ROUTES } from "./task-routes.ts";
import { withUploads } from "./upload-references.ts";
import type { Uploads } from "./uploads.ts";

type Answer = (c: Context, tasks: ServiceTasks, api: string, uploads: Uploads | undefined) => Promise<Response>;

const submit: Answer = async (c, tasks, name, uploads) => {
  const { raw } = c.req;
  const { callId, traceparent, idempotencyKey, accept } = incomingCall((name) => c.req.header(name), raw.signal);
  const isFrame = raw.headers.get("content-type") === FRAME_TYPE;
  const api = tasks.service.apis[name]!;
  using reader = uploads?.reader(raw.signal);
  const input = isFrame
    ? decodeFrame(new Uint8Array(await raw.arrayBuffer()))
    : await withUploads(api.input, await requestInput(raw, api), reader);
  const options: SubmitOptions = {
    callId,
    traceparent,
    idempotencyKey,
    accept: accept ?? c.req.header("accept"),
    timeout: secondsOf(c, CALL_HEADERS.timeout, 1000),
    maxQueueTime: secondsOf(c, TASK_HEADERS.maxQueueTime, 1),
    priority: c.req.header(TASK_HEADERS.priority) as SubmitOptions["priority"],
    callback: c.req.header(TASK_HEADERS.callback),
  };
  return c.json(await tasks.submit(name, input, options));
};

const status: Answer = async (c, tasks, api) => c.json(await tasks.status(api, taskId(c)));

const get: Answer = async (c, tasks, api) => {
  try {
    return await answer(tasks.service.apis[api]!, await tasks.result(api, taskId(c)));
  } catch (error) {
    if (!(ServiceError.is(error) && error.code === "CANCELED")) throw error;
    // 499 says that the asker has gone, and BentoML's client breaks on it: Python knows no such status.
    return Response.json(error, { status: 409 });
  }
};

const cancel: Answer = async (c, tasks, api) => c.json(await tasks.cancel(api, taskId(c)));

const retry: Answer = async (c, tasks, api) => c.json(await tasks.retry(api, taskId(c)));

const events: Answer = async (c, tasks, api) => {
  const lastEventId = c.req.header("last-event-id");
  // Browsers come back to every stream that ends, until they are told that there is no more.
  if (lastEventId === LAST_EVENT) return c.body(null, 204);
  return eventStream((signal) => tasks.events(api, taskId(c), { lastEventId, signal }), c.req.raw.signal);
};

/** What each of a task's routes answers, of one api. */
export const TASK_ANSWERS: Readonly<Record<keyof typeof TASK_ROUTES, Answer>> = {
  submit,
  status,
  get,
  cancel,
  retry,
  events,
};

function taskId(c: Context): string {
  const id = c.req.query("task_id");
  if (!id) throw new ServiceError("INVALID_ARGUMENT", `task_id is required: ${c.req.path}?task_id=...`);
  return id;
}

function secondsOf(c: Context, header: string, perSecond: number): number | undefined {
  const text = c.req.header(header);
  if (text === undefined) return undefined;
  const seconds = Number(text) / perSecond;
  if (text.trim() !== "" && seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new ServiceError("INVALID_ARGUMENT", `the header ${header} must be a number over 0`);
}
