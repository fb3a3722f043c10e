import type { Context, Hono, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HonoBase } from "hono/hono-base";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";
import { secureHeaders } from "hono/secure-headers";
import { FRAME_TYPE } from "../codec/media-types.ts";
import { type KeyedQueue, keyedCalls } from "../delivery/keyed-calls.ts";
import { ServiceError } from "../errors/service-error.ts";
import { METRICS_TYPE, metricsText } from "../observability/metrics.ts";
import type { Service } from "../service/contract.ts";
import type { Discovery } from "../service/discovery.ts";
import type { ServiceHost } from "../service/host.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { ServiceTasks } from "../task/tasks.ts";
import { incomingCall } from "../transport/call-headers.ts";
import type { FrameReply } from "../transport/frame-server.ts";
import type { Guard } from "./access.ts";
import { answer, errorAnswer, type Refusals, withWarnings, wrongMethod } from "./answer.ts";
import type { JsonSchema } from "./json-schema.ts";
import { requestInput } from "./request-input.ts";
import { addTaskRoutes } from "./task-routes.ts";
import { StoredAnswers, storingLarge } from "./upload-answers.ts";
import { withUploads } from "./upload-references.ts";
import { addKeylessRoutes, addUploadRoute } from "./upload-routes.ts";
import { Uploads } from "./uploads.ts";

/** Bytes of a request's body, unless the application says otherwise: 100 MiB. */
export const DEFAULT_MAX_BODY_BYTES = 100 * 2 ** 20;

export interface AppOptions {
  maxBodyBytes?: number | undefined;
  /** Says who may ask; without one, everybody who reaches the service. */
  guard?: Guard | undefined;
  /** Origins whose pages may call, or `*`; without them, only the service's own. */
  corsOrigins?: readonly string[] | undefined;
  /** Text of `GET /metrics`; by default this process's own. */
  metricsText?: () => Promise<string>;
  /** The service's tasks, where it has a queue. */
  tasks?: ServiceTasks | undefined;
  /** The way to the service's own queue: calls with an `Idempotency-Key` take it. Without one the key is only passed on. */
  ownQueue?: KeyedQueue | undefined;
  /** Keeps uploads, and answers over `maxAnswerBytes`. Without one there are no uploads. */
  store?: ObjectStore | undefined;
  /**
   * Bytes of an answer's body over which it is stored, and answered with a redirect. Whatever passes a request on may say
   * less in the environment that it gives the app. No limit unless one of them is set.
   */
  maxAnswerBytes?: number | undefined;
}

/** The HTTP face of a service: its apis in BentoML's forms and as frames, description, probes, metrics. */
export function createApp(host: ServiceHost, discovery: Discovery, options: AppOptions = {}): Hono {
  const { service } = host;
  const maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  const calls = options.ownQueue ? keyedCalls(host, options.ownQueue) : host;
  const { store } = options;
  const uploads = store && new Uploads({ service: service.name, store, maxBytes: maxBodyBytes });
  const answers = store && new StoredAnswers(service.name, store);
  // As Hono's own, which takes routes in with the first request, less the router whose code is as much as all others'.
  const app: Hono = new HonoBase({ router: new SmartRouter({ routers: [new TrieRouter()] }) });
  const refusals: Refusals = new Map();

  app.use(secureHeaders({ contentSecurityPolicy: PAGE_POLICY }));
  // Before the guard: a browser asks whether it may call without the key that the call will have.
  if (options.corsOrigins) app.use(crossOrigin(options.corsOrigins));
  if (uploads && answers) addKeylessRoutes(app, uploads, answers);
  if (options.guard) app.use(options.guard.middleware());
  const page = (path: string, handler: (c: Context) => Response | Promise<Response>): void => {
    app.get(path, handler);
    refusals.set(path, (c) => wrongMethod(c, ["GET"]));
  };
  page("/livez", async (c) => c.text("\n", (await host.live()) ? 200 : 503));
  page("/healthz", async (c) => c.text("\n", (await host.live()) ? 200 : 503));
  page("/readyz", async (c) => c.text("\n", (await isReady(host, discovery)) ? 200 : 503));
  page("/metrics", async (c) =>
    c.body(await (options.metricsText ?? metricsText)(), 200, { "content-type": METRICS_TYPE }),
  );
  page("/schema.json", async (c) => {
    const { bentoSchema } = await import("./json-schema.ts");
    return c.json(bentoSchema(service, options.tasks !== undefined));
  });
  let description: Promise<JsonSchema> | undefined;
  page("/docs.json", async (c) => {
    description ??= describe(service, options);
    return c.json(await description);
  });
  page("/docs", async (c) => c.html((await import("./pages.ts")).apiPage(service)));
  page("/", async (c) => c.html((await import("./pages.ts")).playgroundPage(service)));

  const tooLarge = () =>
    errorAnswer(new ServiceError("PAYLOAD_TOO_LARGE", `the body is over the limit of ${maxBodyBytes} bytes`));
  const countBytes = bodyLimit({ maxSize: maxBodyBytes, onError: tooLarge });
  const limit: MiddlewareHandler = async (c, next) => {
    const length = c.req.header("content-length");
    // Counting turns the body into a web stream, several times slower to read.
    if (length === undefined || c.req.header("transfer-encoding") !== undefined) return countBytes(c, next);
    return Number(length) > maxBodyBytes ? tooLarge() : next();
  };
  for (const [name, api] of Object.entries(service.apis)) {
    if (answers) app.on(["POST", "GET"], [`/${name}`, `/${name}/get`], storingLarge(answers, options.maxAnswerBytes));
    app.post(`/${name}`, limit, async (c) => {
      const { raw } = c.req;
      if (raw.headers.get("content-type") === FRAME_TYPE) {
        const [{ answerFrame }, body] = await Promise.all([import("../transport/frame-server.ts"), raw.bytes()]);
        return frameResponse(await answerFrame(calls, name, (header) => c.req.header(header), body, raw.signal));
      }
      const call = incomingCall((header) => c.req.header(header), raw.signal);
      using reader = uploads?.reader(raw.signal);
      const input = await withUploads(api.input, await requestInput(raw, api), reader);
      const warnings: string[] = [];
      const warn = (message: string): void => void warnings.push(message);
      const output = await calls.call(name, input, { ...call, accept: c.req.header("accept"), warn });
      return withWarnings(await answer(api, output), warnings);
    });
    refusals.set(`/${name}`, (c) => wrongMethod(c, ["POST"]));
  }
  addTaskRoutes(app, refusals, service, { tasks: options.tasks, uploads }, limit);
  addUploadRoute(app, refusals, uploads, limit);
  app.notFound((c) => {
    const refuse = refusals.get(c.req.path);
    if (refuse) return refuse(c);
    const known = Object.keys(service.apis).map((name) => `/${name}`);
    return errorAnswer(new ServiceError("NOT_FOUND", `no route ${c.req.path}; the apis are ${known.join(", ")}`));
  });
  app.onError((error) => errorAnswer(ServiceError.from(error)));
  return app;
}

/** The service in OpenAPI. What makes it is loaded then: a function's start has no time for it. */
async function describe(service: Service, { tasks, store, guard }: AppOptions): Promise<JsonSchema> {
  const [{ openApi }, { withUploadPaths }, { withGuard }] = await Promise.all([
    import("./openapi.ts"),
    import("./upload-openapi.ts"),
    import("./access-openapi.ts"),
  ]);
  const plain = openApi(service, tasks !== undefined);
  const description = store ? withUploadPaths(plain) : plain;
  return guard ? withGuard(description, guard) : description;
}

/** Pages carry their own script and style and talk to nobody else. */
const PAGE_POLICY = {
  defaultSrc: ["'self'"],
  scriptSrc: ["'self'", "'unsafe-inline'"],
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", "blob:", "data:"],
  objectSrc: ["'none'"],
  baseUri: ["'none'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

/** Lets other origins' pages call. What does is loaded with the first request: a function's start has no time for it. */
function crossOrigin(origins: readonly string[]): MiddlewareHandler {
  let loaded: Promise<MiddlewareHandler> | undefined;
  return async (c, next) => {
    loaded ??= import("./cross-origin.ts").then(({ crossOrigin }) => crossOrigin(origins));
    return (await loaded)(c, next);
  };
}

/** Seconds that `/readyz` waits for dependencies. */
const PROBE_SECONDS = 1;

async function isReady(host: ServiceHost, discovery: Discovery): Promise<boolean> {
  if (!(await host.ready())) return false;
  const signal = AbortSignal.timeout(PROBE_SECONDS * 1000);
  const answers = host.service.dependencies.map(async (dependency) => {
    try {
      return await (await discovery.transportOf(dependency)).ready(signal);
    } catch {
      return false;
    }
  });
  return (await Promise.all(answers)).every(Boolean);
}

function frameResponse({ status, headers, body }: FrameReply): Response {
  if (Symbol.asyncIterator in body) return new Response(ReadableStream.from(flat(body)), { status, headers });
  return new Response(ReadableStream.from(body.chunks), {
    status,
    headers: { ...headers, "content-length": String(body.byteLength) },
  });
}

async function* flat(groups: AsyncIterable<Uint8Array[]>): AsyncGenerator<Uint8Array> {
  for await (const group of groups) yield* group;
}
