/** Middleware of Hono's that few requests need: loaded with the first of them. */
export { bodyLimit } from "hono/body-limit";
export { cors } from "hono/cors";
