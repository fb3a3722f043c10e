import type { JsonSchema } from "./json-schema.ts";
import { TASK_HEADERS } from "./task-headers.ts";

export const TASK_TAG = "Tasks";

/** What `status` and `cancel` answer; `submit` and `retry` answer its first two members. */
export const TASK_STATUS_SCHEMA = {
  type: "object",
  required: ["task_id", "status"],
  properties: {
    task_id: { type: "string" },
    status: { type: "string", enum: ["pending", "in_progress", "completed", "failed", "canceled"] },
    created_at: { type: "string", format: "date-time" },
    executed_at: { type: ["string", "null"], format: "date-time", description: "When work began" },
    completed_at: { type: ["string", "null"], format: "date-time" },
    progress: { type: "number", minimum: 0, maximum: 1 },
    eta: {
      type: "object",
      description: "When the result can be expected, in seconds from now",
      properties: {
        seconds: { type: "number" },
        low: { type: "number" },
        high: { type: "number" },
        ahead: { type: "integer", description: "Calls that come before it" },
        reason: { type: "string" },
      },
    },
  },
};

/**
 * One event of `events`. OpenAPI has a word for a stream's items from 3.2 on (`itemSchema`); before, tools take the schema
 * of `text/event-stream` as an event's.
 */
export const TASK_EVENT_SCHEMA = {
  type: "object",
  required: ["id", "event", "data"],
  properties: {
    id: { type: "string", description: "What a client that comes back says as Last-Event-ID" },
    event: { type: "string", enum: ["queued", "progress", "item", "result", "error", "keep-alive"] },
    data: { type: "string", contentMediaType: "application/json" },
  },
};

const STATUS = {
  description: "The task",
  content: { "application/json": { schema: { $ref: "#/components/schemas/TaskStatus" } } },
};

const TASK_ID = { name: "task_id", in: "query", required: true, schema: { type: "string", minLength: 1 } };

const TIMEOUT = { type: "number", exclusiveMinimum: 0 };
const KEY = header(
  "Idempotency-Key",
  { type: "string", pattern: "^[!-~]{1,255}$" },
  "The same key with the same input is the same task, or the same call where the service has a queue",
);

/** What a plain call may say in headers. */
export const CALL_PARAMETERS = [
  KEY,
  header(
    "tandem-timeout-ms",
    TIMEOUT,
    "Milliseconds until which the call must have ended; the service's own are the most",
  ),
];

/** What a plain call's answer may say in headers. */
export const CALL_ANSWER_HEADERS = {
  "tandem-warning": {
    description: "What the caller may not expect, such as words of a prompt that had no effect",
    schema: { type: "string" },
  },
};

const SUBMIT_HEADERS = [
  KEY,
  header(
    TASK_HEADERS.callback,
    { type: "string", format: "uri" },
    "Is told when the task has ended (Standard Webhooks)",
  ),
  header(TASK_HEADERS.priority, { type: "string", enum: ["high", "normal"] }, "Which lane of the queue it waits in"),
  header(TASK_HEADERS.maxQueueTime, TIMEOUT, "Seconds until which its work must have begun"),
  header("tandem-timeout-ms", TIMEOUT, "Milliseconds until which it must have ended"),
];

/** Paths of one api's task routes. */
export function taskPaths(
  operation: string,
  api: string,
  requestBody: JsonSchema,
  output: JsonSchema,
  errors: JsonSchema,
): Record<string, JsonSchema> {
  const route = (
    name: string,
    description: string,
    answer: JsonSchema,
    more: JsonSchema = {},
    others: JsonSchema = {},
  ): JsonSchema => ({
    operationId: `${operation}_${name}`,
    tags: [TASK_TAG],
    description,
    parameters: [TASK_ID],
    ...more,
    responses: { "200": answer, ...others, ...errors },
  });
  const events = { "text/event-stream": { schema: { $ref: "#/components/schemas/TaskEvent" } } };
  const lastEventId = header("Last-Event-ID", { type: "string" }, "The last event that the client has seen");
  const cancel = "Cancels the task; a finished one stays what it was";
  const retry = "Runs a finished task's input again, as a new task";
  return {
    [`/${api}/submit`]: {
      post: route(
        "submit",
        `Submits ${api} as a task`,
        STATUS,
        { parameters: SUBMIT_HEADERS, requestBody },
        // A callback to a private address.
        { "403": { $ref: "#/components/responses/403" } },
      ),
    },
    [`/${api}/status`]: { get: route("status", "The task's state", STATUS) },
    [`/${api}/get`]: { get: route("get", "The task's output; 400 until it is completed", output) },
    // BentoML's documents and its code disagree about these two's methods, so both are taken.
    [`/${api}/cancel`]: { put: route("cancel", cancel, STATUS), post: route("cancel_post", cancel, STATUS) },
    [`/${api}/retry`]: { post: route("retry", retry, STATUS), put: route("retry_put", retry, STATUS) },
    [`/${api}/events`]: {
      get: route(
        "events",
        "What happens to the task: queued, progress, item, result or error, keep-alive",
        { description: "Server-sent events", content: events },
        { parameters: [TASK_ID, lastEventId] },
        { "204": { description: "The client has seen the last event" } },
      ),
    },
  };
}

function header(name: string, schema: JsonSchema, description: string): JsonSchema {
  return { name, in: "header", schema, description };
}
