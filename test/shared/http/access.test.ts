import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, onTestFinished, test } from "vitest";
import { encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { FRAME_TYPE } from "#shared/codec/media-types.ts";
import { Guard } from "#shared/http/access.ts";
import { readKeys } from "#shared/http/access-keys.ts";
import { type AppOptions, createApp } from "#shared/http/app.ts";
import { parseRate, RateLimit } from "#shared/http/rate-limit.ts";
import { listen } from "#shared/http/server.ts";
import { createClient } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { painterTasks } from "../task/fixture.ts";
import { Kinds, kindsApp } from "./kinds-service.ts";

log.level = "silent";

const OLD = "old-0123456789abcdef";
const NEW = "new-0123456789abcdef";
const TEXT = "text-0123456789abcdef";
const KEYS = readKeys(
  JSON.stringify([
    { name: "ci", key: OLD },
    { name: "ci", key: `sha256:${createHash("sha256").update(NEW).digest("hex")}` },
    { name: "reader", key: TEXT, apis: ["text"] },
  ]),
);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const JSON_TYPE = { "content-type": "application/json" };
const frame = joinFrame(encodeFrame({ s: "x" })) as Uint8Array<ArrayBuffer>;

/** The app of {@link Kinds} with tasks, and a way to ask it. */
async function guardedApp(options: AppOptions = { guard: new Guard({ keys: KEYS }) }) {
  const { host } = await kindsApp();
  const { tasks } = await painterTasks({ service: Kinds });
  const app = createApp(host, new Discovery([], {}), { tasks, ...options });
  const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
    app.request(path, { method, headers: { ...JSON_TYPE, ...headers }, ...(body !== undefined && { body }) });
  const call = (headers: Record<string, string> = {}) => ask("POST", "/text", headers, '{"s": "x"}');
  return { app, host, tasks, ask, call };
}

/** {@link Kinds} behind a listener. */
async function guardedServer(options: AppOptions) {
  const { host } = await kindsApp();
  const server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, options);
  onTestFinished(() => server.close());
  const post = (path: string, headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer>) =>
    fetch(server.url + path, { method: "POST", headers, body });
  return { url: server.url, post };
}

const ROUTES: [method: string, path: string][] = [
  ["POST", "/text"],
  ["GET", "/text"],
  ["POST", "/texts"],
  ["POST", "/text/submit"],
  ["GET", "/text/status?task_id=1"],
  ["GET", "/text/get?task_id=1"],
  ["PUT", "/text/cancel?task_id=1"],
  ["POST", "/text/retry?task_id=1"],
  ["GET", "/text/events?task_id=1"],
  ["GET", "/schema.json"],
  ["GET", "/docs.json"],
  ["GET", "/docs"],
  ["GET", "/"],
  ["GET", "/metrics"],
  ["GET", "/nowhere"],
  ["OPTIONS", "/text"],
  ["POST", "/livez"],
  ["GET", "//livez"],
  ["GET", "/text/../livez/x"],
];

describe("keys", () => {
  test.each(ROUTES)("%s %s is for those who have one", async (method, path) => {
    const { ask } = await guardedApp();
    const refused = async (headers: Record<string, string>, says: string): Promise<void> => {
      const answer = await ask(method, path, headers);
      expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
      expect(await answer.json()).toEqual({ code: "UNAUTHENTICATED", error: expect.stringContaining(says) });
    };
    await refused({}, "a key is needed");
    await refused(bearer("wrong-0123456789abcdef"), "the key is not known");
    const answer = await ask(method, path, bearer(OLD));
    expect(answer.status).not.toBe(401);
    await answer.body?.cancel();
  });

  test.each(["/livez", "/readyz", "/healthz"])("%s is open, for load balancers", async (path) => {
    const { ask } = await guardedApp();
    expect((await ask("GET", path)).status).toBe(200);
    expect((await ask("HEAD", path)).status).toBe(200);
  });

  test.each([
    ["another scheme", { authorization: `Basic ${OLD}` }],
    ["no scheme", { authorization: OLD }],
    ["a key's start", bearer(OLD.slice(0, -1))],
    ["more than a key", bearer(`${OLD}0`)],
    ["two keys", bearer(`${OLD} ${NEW}`)],
    ["a key's hash", bearer(createHash("sha256").update(NEW).digest("hex"))],
    ["a hash as it is configured", bearer(`sha256:${createHash("sha256").update(NEW).digest("hex")}`)],
    ["another header", { "x-api-key": OLD }],
  ])("%s is none", async (_what, headers) => {
    const { call } = await guardedApp();
    expect((await call(headers as Record<string, string>)).status).toBe(401);
  });

  test("an old and a new one are valid at once, the new one known by its hash alone", async () => {
    const { call } = await guardedApp();
    for (const key of [OLD, NEW]) expect(await (await call(bearer(key))).text()).toBe("x");
    expect((await call({ authorization: `bearer  ${NEW}` })).status).toBe(200);
  });

  test("one that is limited to apis reaches them, their tasks and the pages", async () => {
    const { ask, call } = await guardedApp();
    expect((await call(bearer(TEXT))).status).toBe(200);
    expect((await ask("POST", "/text/submit", bearer(TEXT), '{"s": "x"}')).status).toBe(200);
    for (const page of ["/", "/docs", "/docs.json", "/schema.json", "/metrics"])
      expect((await ask("GET", page, bearer(TEXT))).status).toBe(200);
    for (const path of ["/fields", "/fields/submit", "/texts", "/%66ields", "/%74exts", "//fields", "/nowhere"]) {
      const answer = await ask("POST", path, bearer(TEXT), '{"s": "x"}');
      expect([path, answer.status]).toEqual([path, 403]);
      expect(await answer.json()).toEqual({ code: "PERMISSION_DENIED", error: expect.stringContaining('"reader"') });
    }
  });

  test("metrics tell their names, never the keys", async () => {
    const { ask, call } = await guardedApp();
    await call(bearer(TEXT));
    await call(bearer("wrong-0123456789abcdef"));
    await ask("POST", "/fields", bearer(TEXT));
    const text = await (await ask("GET", "/metrics", bearer(OLD))).text();
    for (const outcome of ["OK", "PERMISSION_DENIED"])
      expect(text).toMatch(new RegExp(`^tandem_access_total\\{key="reader",outcome="${outcome}"\\} \\d+$`, "m"));
    expect(text).toMatch(/^tandem_access_total\{key="",outcome="UNAUTHENTICATED"\} \d+$/m);
    for (const secret of [OLD, NEW, TEXT, "wrong-"]) expect(text).not.toContain(secret);
  });

  test("the OpenAPI description says that they are needed, and where they are not", async () => {
    const { ask } = await guardedApp();
    const description = (await (await ask("GET", "/docs.json", bearer(OLD))).json()) as Record<string, never>;
    expect(await new Validator().validate(structuredClone(description))).toEqual({ valid: true });
    expect(description).toMatchObject({
      security: [{ key: [] }],
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
      paths: { "/livez": { get: { security: [], responses: expect.anything() } } },
    });
    const open = await guardedApp({});
    expect(await (await open.ask("GET", "/docs.json")).json()).not.toHaveProperty("security");
  });

  test("the OpenAPI description has every status that a guard answers, on every route but the probes", async () => {
    const rate = () => new RateLimit(parseRate("1000/second"));
    const described = async (guard: Guard) => {
      const { ask } = await guardedApp({ guard });
      const description = (await (await ask("GET", "/docs.json", bearer(OLD))).json()) as {
        paths: Record<string, Record<string, { responses: object; security?: object }>>;
      };
      const validator = new Validator();
      expect(await validator.validate(structuredClone(description))).toEqual({ valid: true });
      validator.resolveRefs();
      const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
        Object.values(methods).map((operation) => [path, operation] as const),
      );
      expect(operations.length).toBeGreaterThan(20);
      return operations;
    };
    for (const [path, { responses, security }] of await described(new Guard({ keys: KEYS }))) {
      const isProbe = /^\/(livez|readyz|healthz)$/.test(path);
      expect([path, security]).toEqual([path, isProbe ? [] : undefined]);
      expect([path, "401" in responses, "403" in responses, "429" in responses]).toEqual([
        path,
        !isProbe,
        !isProbe,
        !isProbe,
      ]);
    }
    for (const [path, { responses }] of await described(new Guard({ rate: rate() }))) {
      const isProbe = /^\/(livez|readyz|healthz)$/.test(path);
      expect([path, "401" in responses, "429" in responses]).toEqual([path, false, !isProbe]);
    }
  });
});

describe("a listener with keys", () => {
  const FRAME = { "content-type": FRAME_TYPE };
  const options = (): AppOptions => ({ guard: new Guard({ keys: KEYS }) });

  test("asks frames for them, too", async () => {
    const { post } = await guardedServer(options());
    for (const path of ["/text", "/text?x=1", "/text?x=/", "/text/submit", "/livez"]) {
      const answer = await post(path, FRAME, frame);
      expect([path, answer.status, answer.headers.get("www-authenticate")]).toEqual([path, 401, "Bearer"]);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(await answer.json()).toMatchObject({ code: "UNAUTHENTICATED" });
    }
    expect((await post("/text", { ...FRAME, ...bearer("wrong-0123456789abcdef") }, frame)).status).toBe(401);
    expect((await post("/fields", { ...FRAME, ...bearer(TEXT) }, frame)).status).toBe(403);
    expect((await post("/%66ields", { ...FRAME, ...bearer(TEXT) }, frame)).status).toBe(403);
    expect((await post("/text", { ...FRAME, ...bearer(NEW) }, frame)).status).toBe(200);
  });

  test("takes a client's token, for calls and streams", async () => {
    const { url } = await guardedServer(options());
    await using client = createClient(Kinds, { url, token: NEW });
    expect(await client.text({ s: "x" })).toBe("x");
    expect(await Array.fromAsync(client.texts({ n: 2 }))).toEqual(["text 0", "text 1"]);
    await using stranger = createClient(Kinds, { url });
    await expect(stranger.text({ s: "x" })).rejects.toMatchObject({ code: "UNAUTHENTICATED", service: "Kinds" });
    await expect(Array.fromAsync(stranger.texts({}))).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await using reader = createClient(Kinds, { url, headers: bearer(TEXT) });
    await expect(reader.fields({ s: "x" })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await using form = createClient(Kinds, { url, token: OLD, transport: "bentoml" });
    expect(await form.text({ s: "x" })).toBe("x");
  });

  test.each([
    ["forms", JSON_TYPE],
    ["frames", FRAME],
  ])("looks at no %s of those who have none", async (_what, type) => {
    const { url } = await guardedServer({ ...options(), maxBodyBytes: 1000 });
    const answers = Array.from({ length: 10 }, async () => {
      // More than anybody may send, and the rest of it never comes.
      const request = http.request(`${url}/text`, { method: "POST", headers: { ...type, "content-length": 2000 } });
      onTestFinished(() => void request.destroy());
      request.on("error", () => undefined);
      request.write("{");
      const [answer] = (await once(request, "response")) as [http.IncomingMessage];
      return answer.statusCode;
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([401]));
  });

  test("asks for them before an event stream, and through it passes what comes", async () => {
    const { host, tasks } = await guardedApp();
    const where = { host: "127.0.0.1", port: 0 };
    const server = await listen(host, new Discovery([], {}), where, { ...options(), tasks });
    onTestFinished(() => server.close());
    const submitted = await fetch(`${server.url}/text/submit`, {
      method: "POST",
      headers: { ...FRAME, ...bearer(TEXT) },
      body: frame,
    });
    const { task_id } = (await submitted.json()) as { task_id: string };
    const events = `${server.url}/text/events?task_id=${task_id}`;
    expect((await fetch(events)).status).toBe(401);
    expect((await fetch(`${server.url}/texts/events?task_id=${task_id}`, { headers: bearer(TEXT) })).status).toBe(403);
    const stream = await fetch(events, { headers: bearer(TEXT) });
    expect(stream.headers.get("content-type")).toBe("text/event-stream");
    const reader = stream.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toContain("event: queued");
    await reader.cancel();
  });
});

describe("a rate", () => {
  const limited = (keys?: typeof KEYS): AppOptions => ({
    guard: new Guard({ keys, rate: new RateLimit(parseRate("2/day")) }),
  });

  test("is a key's, over calls, pages and frames, and probes are not counted", async () => {
    const { url, post } = await guardedServer(limited(KEYS));
    const call = (key: string) => post("/text", { ...JSON_TYPE, ...bearer(key) }, '{"s": "x"}');
    const framed = (key: string) => post("/text", { "content-type": FRAME_TYPE, ...bearer(key) }, frame);
    for (let i = 0; i < 5; i++) expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect((await call(OLD)).status).toBe(200);
    // Another key of the same name: the bucket is the caller's.
    expect((await framed(NEW)).status).toBe(200);
    for (const answer of [await call(OLD), await framed(OLD), await framed(NEW)]) {
      expect(answer.status).toBe(429);
      const seconds = Number(answer.headers.get("retry-after"));
      expect(seconds).toBeGreaterThan(43_000);
      expect(seconds).toBeLessThanOrEqual(43_200);
      expect(await answer.json()).toMatchObject({ code: "RESOURCE_EXHAUSTED", retry_after: expect.any(Number) });
    }
    expect((await framed(TEXT)).status).toBe(200);
  });

  test("holds for guesses at keys, by address, and leaves those who have one alone", async () => {
    const { post } = await guardedServer(limited(KEYS));
    const guess = (key: string) => post("/text", { "content-type": FRAME_TYPE, ...bearer(key) }, frame);
    const answers = [
      await guess("guess-1-89abcdef0"),
      await guess("guess-2-89abcdef0"),
      await guess("guess-3-89abcdef0"),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 429]);
    expect((await guess(OLD)).status).toBe(200);
  });

  test("is an address's where nobody needs a key", async () => {
    const { app } = await guardedApp(limited());
    const from = async (env: object) => (await app.request("/schema.json", {}, env)).status;
    const url = (sourceIp: string) => ({ requestContext: { http: { sourceIp } } });
    const gateway = (sourceIp: string) => ({ requestContext: { identity: { sourceIp } } });
    expect([await from(url("198.51.100.1")), await from(gateway("198.51.100.1"))]).toEqual([200, 200]);
    expect(await from(url("198.51.100.1"))).toBe(429);
    expect(await from({ incoming: { socket: { remoteAddress: "::ffff:198.51.100.1" } } })).toBe(429);
    expect(await from(url("198.51.100.2"))).toBe(200);
    const forged = await app.request(
      "/schema.json",
      { headers: { "x-forwarded-for": "203.0.113.9" } },
      url("198.51.100.1"),
    );
    expect(forged.status).toBe(429);
  });
});

describe("origins", () => {
  const PAGE = { origin: "https://app.example.com" };
  const PREFLIGHT = {
    ...PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
  };
  const options = (origins: string[]): AppOptions => ({ guard: new Guard({ keys: KEYS }), corsOrigins: origins });

  test("are none unless they are named", async () => {
    const { ask, call } = await guardedApp({});
    expect((await call(PAGE)).headers.get("access-control-allow-origin")).toBeNull();
    expect((await ask("OPTIONS", "/text", PREFLIGHT)).headers.get("access-control-allow-origin")).toBeNull();
  });

  test("that are named may ask without a key whether they may call, and call with one", async () => {
    const { ask, call } = await guardedApp(options([PAGE.origin]));
    const preflight = await ask("OPTIONS", "/text", PREFLIGHT);
    expect(preflight.status).toBe(204);
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      "access-control-allow-origin": PAGE.origin,
      "access-control-allow-methods": "GET,HEAD,POST,PUT",
      "access-control-allow-headers": "authorization,content-type",
      "access-control-max-age": "600",
    });
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
    const answer = await call({ ...PAGE, ...bearer(OLD) });
    expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([200, PAGE.origin]);
    expect(answer.headers.get("vary")).toContain("Origin");
  });

  test("that are named may read why they are refused, by the guard and by an api", async () => {
    const { ask, call } = await guardedApp(options([PAGE.origin]));
    const stranger = await call(PAGE);
    expect([stranger.status, stranger.headers.get("access-control-allow-origin")]).toEqual([401, PAGE.origin]);
    const fail = '{"code": "RESOURCE_EXHAUSTED", "retryAfter": 3}';
    const failed = await ask("POST", "/fail", { ...PAGE, ...bearer(OLD) }, fail);
    expect([failed.status, failed.headers.get("access-control-allow-origin")]).toEqual([429, PAGE.origin]);
    expect(failed.headers.get("access-control-expose-headers")).toContain("retry-after");
  });

  test("that are not named are told nothing", async () => {
    const { ask, call } = await guardedApp(options([PAGE.origin]));
    const other = { origin: "https://app.example.com.evil.example" };
    expect((await call({ ...other, ...bearer(OLD) })).headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await ask("OPTIONS", "/text", { ...PREFLIGHT, ...other });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("may be all", async () => {
    const { call } = await guardedApp(options(["*"]));
    expect((await call({ ...PAGE, ...bearer(OLD) })).headers.get("access-control-allow-origin")).toBe("*");
  });
});

test("answers carry security headers, refusals too", async () => {
  const { ask, call } = await guardedApp();
  for (const answer of [await call(), await call(bearer(OLD)), await ask("GET", "/", bearer(OLD))]) {
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-security-policy": expect.stringMatching(/^default-src 'self'.*frame-ancestors 'none'$/),
      "strict-transport-security": expect.stringContaining("max-age="),
      "x-content-type-options": "nosniff",
      "x-frame-options": "SAMEORIGIN",
      "referrer-policy": "no-referrer",
    });
    expect(answer.headers.get("x-powered-by")).toBeNull();
  }
});

test("services that only others of the project reach ask nobody", async () => {
  const host = new ServiceHost(Kinds, Object.fromEntries(Object.keys(Kinds.apis).map((name) => [name, () => "x"])));
  await host.start();
  const app = createApp(host, new Discovery([], {}));
  const answer = await app.request("/text", { method: "POST", headers: JSON_TYPE, body: '{"s": "x"}' });
  expect(answer.status).toBe(200);
});
