import { type $ZodType, toJSONSchema } from "zod/v4/core";
import { type BinaryField, binaryOf } from "../codec/binary-field.ts";
import type { Service } from "../service/contract.ts";

export type JsonSchema = { [key: string]: unknown };

/** JSON Schema (draft 2020-12) of an api's input or output; `binary` says how a picture, array or bytes is described. */
export function jsonSchema(
  schema: $ZodType,
  io: "input" | "output",
  binary: (field: BinaryField) => JsonSchema,
): JsonSchema {
  const { $schema: _, ...json } = toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const field = binaryOf(zodSchema);
      if (field) Object.assign(jsonSchema, binary(field));
    },
  });
  return json;
}

/**
 * `GET /schema.json` in BentoML's form, which its clients read to learn a service's methods.
 * @param tasks whether the apis may be submitted, too. In BentoML's client (1.4.39) `is_task` only gives a method
 * `submit`, `get_status`, `get`, `cancel` and `retry` of its own: calling it stays a plain call, so one route does for both.
 */
export function bentoSchema(service: Service, tasks = false): JsonSchema {
  const apis = Object.entries(service.apis).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    name: service.name,
    type: "service",
    routes: apis.map(([name, api]) => ({
      name,
      route: `/${name}`,
      ...(api.description !== undefined && { doc: api.description }),
      batchable: api.batch !== undefined,
      input: { properties: {}, title: "Input", ...bentoForm(jsonSchema(api.input, "input", bentoBinary)) },
      output: {
        ...bentoForm(jsonSchema(api.output, "output", bentoBinary)),
        ...(api.stream && { is_stream: true, media_type: "text/event-stream" }),
      },
      is_task: tasks,
    })),
    paths: Object.fromEntries(apis.map(([name]) => [`/${name}`, { mounted: false }])),
  };
}

function bentoBinary(field: BinaryField): JsonSchema {
  if (field.kind === "image") return { type: "file", format: "image", pil: true };
  if (field.kind === "bytes") return { type: "string", format: "binary" };
  const { dtype, shape } = field;
  // BentoML's clients reshape by this; a dimension of any length is -1 there and may stand once.
  const free = shape?.filter((dimension) => typeof dimension === "string").length ?? 2;
  return {
    type: "tensor",
    format: "numpy-array",
    dtype,
    ...(shape && free <= 1 && { shape: shape.map((dimension) => (typeof dimension === "string" ? -1 : dimension)) }),
  };
}

/** BentoML's dialect: the first of alternatives, titles on properties, `items` on every array, nothing closed. */
function bentoForm(schema: JsonSchema): JsonSchema {
  const { anyOf, additionalProperties, ...rest } = schema;
  const first = Array.isArray(anyOf) ? (anyOf[0] as JsonSchema) : {};
  const out: JsonSchema = { ...first, ...rest };
  if (typeof additionalProperties === "object")
    out.additionalProperties = bentoForm(additionalProperties as JsonSchema);
  if (out.properties)
    out.properties = Object.fromEntries(
      Object.entries(out.properties as Record<string, JsonSchema>).map(([name, property]) => [
        name,
        { title: titleOf(name), ...bentoForm(property) },
      ]),
    );
  if (out.prefixItems) out.prefixItems = (out.prefixItems as JsonSchema[]).map(bentoForm);
  if (out.items) out.items = bentoForm(out.items as JsonSchema);
  else if (out.type === "array") out.items = {};
  return out;
}

function titleOf(name: string): string {
  return name.replace(/(^|_)([a-z])/g, (_, gap: string, letter: string) => (gap ? " " : "") + letter.toUpperCase());
}
