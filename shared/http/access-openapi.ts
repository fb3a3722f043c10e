import type { JsonSchema } from "./json-schema.ts";
import { errorResponses, referTo } from "./openapi.ts";

/** What a guard may answer: always, and where it wants keys. */
const OVER_RATE = 429;
const KEY_REFUSED = [401, 403] as const;
const PROBES: ReadonlySet<string> = new Set(["/livez", "/readyz", "/healthz"]);

type Operations = Record<string, JsonSchema & { responses: JsonSchema }>;

/** Adds to an OpenAPI description what a guard answers to every request but the probes, and the key that it may want. */
export function withGuard(description: JsonSchema, { wantsKeys }: { wantsKeys: boolean }): JsonSchema {
  const components = description.components as JsonSchema & { responses: JsonSchema };
  const statuses = wantsKeys ? [...KEY_REFUSED, OVER_RATE] : [OVER_RATE];
  const guarded = (operation: Operations[string]) => ({
    ...operation,
    responses: { ...operation.responses, ...referTo(statuses) },
  });
  const open = (operation: Operations[string]) => (wantsKeys ? { ...operation, security: [] } : operation);
  const paths = Object.entries(description.paths as Record<string, Operations>).map(([path, operations]) => {
    const changed = PROBES.has(path) ? open : guarded;
    return [path, Object.fromEntries(Object.entries(operations).map(([method, is]) => [method, changed(is)]))];
  });
  return {
    ...description,
    ...(wantsKeys && { security: [{ key: [] }] }),
    paths: Object.fromEntries(paths),
    components: {
      ...components,
      responses: { ...components.responses, ...errorResponses(statuses) },
      ...(wantsKeys && { securitySchemes: { key: { type: "http", scheme: "bearer" } } }),
    },
  };
}
