import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

/** Lets other origins' pages call, with whatever headers they send. No cookies: a page has a key, or needs none. */
export function crossOrigin(origins: readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    allowMethods: ["GET", "HEAD", "POST", "PUT"],
    exposeHeaders: ["retry-after", "www-authenticate", "tandem-warning"],
    maxAge: 600,
  });
}
