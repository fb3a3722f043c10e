/** A bare Hono handler that streams, for `cold-start.bench.ts`: what any handler of Hono's costs. */
import { Hono } from "hono";
import { streamHandle } from "hono/aws-lambda";

const app = new Hono();
app.get("/livez", (c) => c.text("\n"));
/** Milliseconds that sharp takes to load. */
app.get("/sharp", async (c) => {
  const start = performance.now();
  await import("sharp");
  return c.text(String(performance.now() - start));
});

export const handler = streamHandle(app);
