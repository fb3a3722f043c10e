import { type JsonSchema, jsonSchema } from "./json-schema.ts";
import { errorResponses, referTo } from "./openapi.ts";
import { UPLOAD_REQUEST } from "./upload-request.ts";

const TAG = "Uploads";
/** What may come of a reference, besides what any call may answer. */
const REFERENCE_STATUSES = [404, 409, 410] as const;
const CREATE_STATUSES = [400, 413, 415, 500, 503] as const;

const UPLOAD_SCHEMA = {
  type: "object",
  required: ["upload", "method", "url", "headers", "expires_at"],
  properties: {
    upload: { type: "string", description: "upload:<id>, to be given in place of a picture or bytes" },
    method: { type: "string", enum: ["PUT"] },
    url: { type: "string", format: "uri", description: "Takes the bytes, once, and wants no key" },
    headers: {
      type: "object",
      additionalProperties: { type: "string" },
      description: "Headers that the PUT must have",
    },
    expires_at: { type: "string", format: "date-time", description: "Until when the PUT must have begun" },
  },
};

const REDIRECT = {
  description: "The output is too large to be sent along: it can be fetched here, with GET, for a quarter of an hour",
  headers: { Location: { schema: { type: "string", format: "uri-reference" } } },
};

type Operation = JsonSchema & { responses: JsonSchema; requestBody?: JsonSchema };

/** Adds to an OpenAPI description what a service with a store offers: uploads, and redirects to large outputs. */
export function withUploadPaths(description: JsonSchema): JsonSchema {
  const components = description.components as JsonSchema & { schemas: JsonSchema; responses: JsonSchema };
  const paths = Object.entries(description.paths as Record<string, Record<string, Operation>>).map(
    ([path, operations]) => {
      const changed = (is: Operation): Operation => ({
        ...is,
        ...(is.requestBody && { requestBody: namingUploads(is.requestBody) as JsonSchema }),
        responses: {
          ...((is.requestBody ? !path.endsWith("/submit") : path.endsWith("/get")) && { "303": REDIRECT }),
          ...is.responses,
          ...(is.requestBody && referTo(REFERENCE_STATUSES)),
        },
      });
      return [path, Object.fromEntries(Object.entries(operations).map(([method, is]) => [method, changed(is)]))];
    },
  );
  return {
    ...description,
    tags: [...(description.tags as JsonSchema[]), { name: TAG }],
    // An api of that name comes first.
    paths: { "/uploads": { post: createOperation() }, ...Object.fromEntries(paths) },
    components: {
      ...components,
      schemas: { ...components.schemas, Upload: UPLOAD_SCHEMA },
      responses: { ...errorResponses([...CREATE_STATUSES, ...REFERENCE_STATUSES]), ...components.responses },
    },
  };
}

function createOperation(): Operation {
  const schema = jsonSchema(UPLOAD_REQUEST, "input", () => ({}));
  const created = { "application/json": { schema: { $ref: "#/components/schemas/Upload" } } };
  return {
    operationId: "uploads",
    tags: [TAG],
    description: "Says where to PUT a picture or bytes that are too large for a request; they are kept for a day",
    requestBody: { content: { "application/json": { schema } } },
    responses: { "201": { description: "Where to put it", content: created }, ...referTo(CREATE_STATUSES) },
  };
}

/** Says of each picture, and of bytes, that an upload's name will do. */
function namingUploads(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(namingUploads);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, namingUploads(member)]));
  const { type, contentEncoding, format, description = "The file" } = members;
  const isFile = type === "string" && (contentEncoding === "base64" || format === "binary");
  return isFile ? { ...members, description: `${description}, or the text upload:<id>` } : members;
}
