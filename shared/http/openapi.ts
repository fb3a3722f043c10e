import { $ZodString, type $ZodType } from "zod/v4/core";
import { type BinaryField, binaryOf } from "../codec/binary-field.ts";
import { membersOf } from "../codec/schema-parts.ts";
import { ERROR_CODES } from "../errors/codes.ts";
import type { Service } from "../service/contract.ts";
import { type JsonSchema, jsonSchema } from "./json-schema.ts";
import { PAGES_TAG, pagePaths } from "./openapi-pages.ts";
import {
  CALL_ANSWER_HEADERS,
  CALL_PARAMETERS,
  TASK_EVENT_SCHEMA,
  TASK_STATUS_SCHEMA,
  TASK_TAG,
  taskPaths,
} from "./openapi-tasks.ts";

/** Statuses that any api may answer besides 200. */
const ERROR_STATUSES = [400, 413, 415, 429, 500, 503, 504] as const;

/** Statuses that a call with an idempotency key may answer besides, where there is a queue. */
const KEYED_STATUSES = [409, 410] as const;

/** Statuses that the task routes may answer besides those. */
const TASK_STATUSES = [404] as const;

/**
 * The service's description in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), from its zod schemas.
 * @param tasks whether its apis may be submitted as tasks, too.
 */
export function openApi(service: Service, tasks = false): JsonSchema {
  const paths: Record<string, JsonSchema> = {};
  const callStatuses = tasks ? [...ERROR_STATUSES, ...KEYED_STATUSES].sort() : ERROR_STATUSES;
  const statuses = tasks ? [...callStatuses, ...TASK_STATUSES].sort() : ERROR_STATUSES;
  for (const [name, api] of Object.entries(service.apis)) {
    const requestBody = { required: true, content: requestContent(api.input) };
    const output = { description: "The output", content: responseContent(api) };
    if (tasks)
      Object.assign(paths, taskPaths(`${service.name}__${name}`, name, requestBody, output, referTo(statuses)));
    paths[`/${name}`] = {
      post: {
        operationId: `${service.name}__${name}`,
        ...(api.description !== undefined && { description: api.description }),
        tags: ["Service APIs"],
        parameters: CALL_PARAMETERS,
        requestBody,
        responses: { "200": { ...output, headers: CALL_ANSWER_HEADERS }, ...referTo(callStatuses) },
      },
    };
  }
  Object.assign(paths, pagePaths());
  return {
    openapi: "3.1.0",
    info: { title: service.name, version: "1", description: service.description ?? `The ${service.name} service` },
    servers: [{ url: "." }],
    tags: [{ name: "Service APIs" }, ...(tasks ? [{ name: TASK_TAG }] : []), { name: PAGES_TAG }],
    paths,
    components: {
      schemas: { Error: ERROR_SCHEMA, ...(tasks && { TaskStatus: TASK_STATUS_SCHEMA, TaskEvent: TASK_EVENT_SCHEMA }) },
      responses: errorResponses(tasks ? [...statuses, 403].sort() : statuses),
    },
  };
}

const ERROR_SCHEMA = {
  type: "object",
  required: ["error", "code"],
  properties: {
    error: { type: "string", description: "What is wrong and how to mend it" },
    code: { type: "string", enum: Object.keys(ERROR_CODES) },
    detail: {
      type: "array",
      items: {
        type: "object",
        required: ["path", "message"],
        properties: {
          path: { type: "array", items: { type: ["string", "integer"] }, description: "The faulty field" },
          message: { type: "string" },
        },
      },
    },
    retry_after: { type: "number", description: "Seconds after which a retry makes sense" },
    service: { type: "string", description: "The dependency that raised the error" },
  },
};

/** The responses of an operation that may answer these errors. */
export function referTo(statuses: readonly number[]): JsonSchema {
  return Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/${status}` }]));
}

/** The components that {@link referTo} names. */
export function errorResponses(statuses: readonly number[]): JsonSchema {
  const responses: JsonSchema = {};
  for (const status of statuses) {
    const meanings = Object.values(ERROR_CODES).filter((code) => code.status === status);
    responses[status] = {
      description: meanings.map(({ meaning }) => meaning).join("; "),
      content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
    };
  }
  return responses;
}

function requestContent(input: $ZodType): JsonSchema {
  const fields = membersOf(input) ?? {};
  const form = jsonSchema(input, "input", (field) =>
    field.kind === "ndarray" ? listsSchema(field) : { type: "string", format: "binary" },
  );
  const json = jsonSchema(input, "input", jsonBinary);
  const encoding = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      { contentType: isFile(field) ? "application/octet-stream, image/*" : "application/json" },
    ]),
  );
  const content = { "application/json": { schema: json } };
  return Object.values(fields).some(isFile)
    ? { "multipart/form-data": { schema: form, encoding }, ...content }
    : content;
}

function isFile(field: $ZodType): boolean {
  const kind = binaryOf(field)?.kind;
  return kind === "image" || kind === "bytes";
}

function responseContent(api: Service["apis"][string]): JsonSchema {
  const kind = binaryOf(api.output)?.kind;
  const file = { schema: { type: "string", format: "binary" } };
  if (api.stream) return { "text/event-stream": { schema: { type: "string" } } };
  if (kind === "image") return { "image/png": file, "image/jpeg": file, "image/webp": file };
  if (kind === "bytes") return { "application/octet-stream": file };
  if (api.output instanceof $ZodString) return { "text/plain": { schema: { type: "string" } } };
  return { "application/json": { schema: jsonSchema(api.output, "output", jsonBinary) } };
}

function jsonBinary(field: BinaryField): JsonSchema {
  if (field.kind === "ndarray") return listsSchema(field);
  const base64 = { type: "string", contentEncoding: "base64" };
  if (field.kind === "bytes") return { ...base64, description: "Bytes as base64" };
  return { ...base64, minLength: 1, description: "The picture's file as base64 or a data URL" };
}

function listsSchema(field: BinaryField & { kind: "ndarray" }): JsonSchema {
  const shape = field.shape ? `[${field.shape.join(", ")}]` : "any shape";
  return { type: "array", items: {}, description: `Nested lists of ${field.dtype}, ${shape}` };
}
