import type { JsonSchema } from "./json-schema.ts";

interface Page {
  readonly description: string;
  readonly type: string;
  /** Whether it says 503 where it could say yes. */
  readonly isProbe?: true;
}

/** What is read of a service with GET: probes, metrics, descriptions. */
export const PAGES: Readonly<Record<string, Page>> = {
  "/livez": { description: "200 while the process is healthy", type: "text/plain", isProbe: true },
  "/readyz": {
    description: "200 once the service and its dependencies take calls, 503 before",
    type: "text/plain",
    isProbe: true,
  },
  "/healthz": { description: "the same as /livez", type: "text/plain", isProbe: true },
  "/metrics": { description: "Prometheus metrics", type: "text/plain" },
  "/schema.json": { description: "The apis in BentoML's form, which its clients read", type: "application/json" },
  "/docs.json": { description: "This description", type: "application/json" },
  "/docs": { description: "The apis as a page to read", type: "text/html" },
  "/": { description: "A page to try the apis", type: "text/html" },
};

export const PAGES_TAG = "Infrastructure";

/** Paths of {@link PAGES} in OpenAPI. */
export function pagePaths(): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(PAGES).map(([path, { description, type, isProbe }]) => {
      const content = { [type]: { schema: { type: type === "application/json" ? "object" : "string" } } };
      const responses = {
        "200": { description: "Yes", content },
        ...(isProbe && { "503": { description: "No", content } }),
      };
      return [path, { get: { tags: [PAGES_TAG], description, responses } }];
    }),
  );
}
