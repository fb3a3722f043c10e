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

const STATUS = {
  description: "The task",
  content: { "application/json": { schema: { $ref: "#/components/schemas/TaskStatus" } } },
};

const TASK_ID = { name: "task_id", in: "query", required: true, schema: { type: "string" } };

const SUBMIT_HEADERS = [
  header("Idempotency-Key", { type: "string", maxLength: 255 }, "The same key with the same input is the same task"),
  header(
    TASK_HEADERS.callback,
    { type: "string", format: "uri" },
    "Is told when the task has ended (Standard Webhooks)",
  ),
  header(TASK_HEADERS.priority, { type: "string", enum: ["high", "normal"] }, "Which lane of the queue it waits in"),
  header(TASK_HEADERS.maxQueueTime, { type: "number" }, "Seconds until which its work must have begun"),
  header("tandem-timeout-ms", { type: "number" }, "Milliseconds until which it must have ended"),
];

/** Paths of one api's task routes. */
export function taskPaths(
  operation: string,
  api: string,
  requestBody: JsonSchema,
  output: JsonSchema,
  errors: JsonSchema,
): Record<string, JsonSchema> {
  const route = (name: string, description: string, answer: JsonSchema, more: JsonSchema = {}): JsonSchema => ({
    operationId: `${operation}_${name}`,
    tags: [TASK_TAG],
    description,
    parameters: [TASK_ID],
    ...more,
    responses: { "200": answer, ...errors },
  });
  const sse = { description: "Server-sent events", content: { "text/event-stream": { schema: { type: "string" } } } };
  const lastEventId = header("Last-Event-ID", { type: "string" }, "The last event that the client has seen");
  return {
    [`/${api}/submit`]: {
      post: route("submit", `Submits ${api} as a task`, STATUS, { parameters: SUBMIT_HEADERS, requestBody }),
    },
    [`/${api}/status`]: { get: route("status", "The task's state", STATUS) },
    [`/${api}/get`]: { get: route("get", "The task's output; 400 until it is completed", output) },
    [`/${api}/cancel`]: { put: route("cancel", "Cancels the task; a finished one stays what it was", STATUS) },
    [`/${api}/retry`]: { post: route("retry", "Runs a finished task's input again, as a new task", STATUS) },
    [`/${api}/events`]: {
      get: route("events", "What happens to the task: queued, progress, item, result or error, keep-alive", sse, {
        parameters: [TASK_ID, lastEventId],
      }),
    },
  };
}

function header(name: string, schema: JsonSchema, description: string): JsonSchema {
  return { name, in: "header", schema, description };
}
