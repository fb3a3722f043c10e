import type { JsonSchema } from "./json-schema.ts";

/** Adds to an OpenAPI description that every request but the probes needs a key. */
export function withBearer(description: JsonSchema): JsonSchema {
  const components = description.components as JsonSchema;
  const paths = description.paths as Record<string, { get?: JsonSchema }>;
  const probes = ["/livez", "/readyz", "/healthz"].map((path) => [
    path,
    { ...paths[path], get: { ...paths[path]?.get, security: [] } },
  ]);
  return {
    ...description,
    security: [{ key: [] }],
    paths: { ...paths, ...Object.fromEntries(probes) },
    components: { ...components, securitySchemes: { key: { type: "http", scheme: "bearer" } } },
  };
}
