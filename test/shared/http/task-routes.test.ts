import { Validator } from "@seriousme/openapi-schema-validator";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { decodeFrame, encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { FRAME_TYPE } from "#shared/codec/media-types.ts";
import { createApp } from "#shared/http/app.ts";
import { bentoSchema } from "#shared/http/json-schema.ts";
import { openApi } from "#shared/http/openapi.ts";
import { listen } from "#shared/http/server.ts";
import { ImageValue } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { encodeItem } from "#shared/transport/frame-items.ts";
import { all, Painter, painterTasks, SentMessages } from "../task/fixture.ts";

log.level = "silent";

type Json = Record<string, unknown>;
const NOW = 1_700_000_000_000;
const JSON_TYPE = { "content-type": "application/json" };
const picture = new ImageValue(Uint8Array.of(1, 2, 3), "webp");
const unused = () => {
  throw new Error("tasks are run elsewhere");
};

const BOTH: [method: string, name: string][] = [
  ["PUT", "cancel"],
  ["POST", "cancel"],
  ["POST", "retry"],
  ["PUT", "retry"],
];

async function painterApp(withTasks = true) {
  const priority = new SentMessages();
  const made = await painterTasks({ priorityQueue: priority });
  const host = new ServiceHost(Painter, { paint: unused, describe: unused, stream: unused, chunks: unused });
  await host.start();
  const app = createApp(host, new Discovery([], {}), withTasks ? { tasks: made.tasks } : {});
  const ask = async (method: string, path: string, body?: Json, headers: Record<string, string> = {}) => {
    const response = await app.request(path, {
      method,
      ...(body && { body: JSON.stringify(body) }),
      headers: { ...(body && JSON_TYPE), ...headers },
    });
    return [response.status, await response.json()] as [number, Json];
  };
  const submit = async (api = "paint", headers: Record<string, string> = {}): Promise<string> => {
    const [status, json] = await ask("POST", `/${api}/submit`, api === "paint" ? { prompt: "a" } : {}, headers);
    expect([status, json]).toEqual([200, { task_id: expect.any(String), status: "pending" }]);
    return json.task_id as string;
  };
  return { ...made, priority, app, ask, submit };
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("submit", () => {
  test("takes JSON, a form and a frame, as the call does", async () => {
    const { app, ask, objects } = await painterApp();
    const inputOf = async (json: unknown) => decodeFrame((await objects.input((json as { task_id: string }).task_id))!);
    const [, byJson] = await ask("POST", "/paint/submit", { prompt: "a", steps: 3 });
    expect(await inputOf(byJson)).toEqual({ prompt: "a", steps: 3 });
    const form = new FormData();
    form.append("image", new Blob([Uint8Array.of(7)], { type: "image/png" }), "a.png");
    const byForm = await app.request("/describe/submit", { method: "POST", body: form });
    expect(await inputOf(await byForm.json())).toEqual({ image: new ImageValue(Uint8Array.of(7)) });
    const frame = joinFrame(encodeFrame({ prompt: "b" })) as Uint8Array<ArrayBuffer>;
    const headers = { "content-type": FRAME_TYPE };
    const byFrame = await app.request("/paint/submit", { method: "POST", body: frame, headers });
    expect(await inputOf(await byFrame.json())).toEqual({ prompt: "b", steps: 2 });
  });

  test("a wrong input is refused now, by name", async () => {
    const { ask, queue } = await painterApp();
    expect(await ask("POST", "/paint/submit", { promt: "a" })).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT", detail: [{ path: ["prompt"] }, {}] },
    ]);
    expect(queue.sent).toEqual([]);
  });

  test("headers say how", async () => {
    vi.stubEnv("TANDEM_WEBHOOK_SECRET", Buffer.from("a secret of at least 24 bytes").toString("base64"));
    const { submit, priority, queue } = await painterApp();
    const before = Date.now();
    const id = await submit("paint", {
      "Tandem-Priority": "high",
      "Tandem-Max-Queue-Time": "1.5",
      "tandem-timeout-ms": "2500",
      "Tandem-Callback": "https://a.example/hook",
      "Idempotency-Key": "order-7",
      "tandem-call-id": "id-7",
      accept: "image/webp",
    });
    const { call } = priority.calls[0]!;
    expect(call).toMatchObject({ id, callback: "https://a.example/hook", callId: "id-7", accept: "image/webp" });
    expect(call.startBy! - before).toBeGreaterThanOrEqual(1500);
    expect(call.deadline - call.startBy!).toBe(1000);
    expect(await submit("paint", { "Idempotency-Key": "order-7" })).toBe(id);
    expect(queue.sent).toEqual([]);
  });

  test.each([
    ["Tandem-Priority", "urgent"],
    ["Tandem-Max-Queue-Time", "soon"],
    ["Tandem-Max-Queue-Time", "-1"],
    ["tandem-timeout-ms", "0"],
    ["Idempotency-Key", "with a blank"],
  ])("%s: %s is refused", async (header, value) => {
    const { ask, queue } = await painterApp();
    expect(await ask("POST", "/paint/submit", { prompt: "a" }, { [header]: value })).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT" },
    ]);
    expect(queue.sent).toEqual([]);
  });

  test("a callback without a secret is refused, and the answer says how to mend it", async () => {
    vi.stubEnv("TANDEM_WEBHOOK_SECRET", undefined);
    const { ask } = await painterApp();
    expect(
      await ask("POST", "/paint/submit", { prompt: "a" }, { "Tandem-Callback": "https://a.example/" }),
    ).toMatchObject([400, { error: expect.stringContaining("TANDEM_WEBHOOK_SECRET") }]);
  });

  test("a key used with another input is a conflict", async () => {
    const { ask, submit } = await painterApp();
    await submit("paint", { "Idempotency-Key": "k" });
    expect(await ask("POST", "/paint/submit", { prompt: "b" }, { "Idempotency-Key": "k" })).toMatchObject([
      409,
      { code: "CONFLICT" },
    ]);
  });
});

describe("a task", () => {
  test("is asked for, fetched and run again", async () => {
    const { app, ask, submit, objects, queue } = await painterApp();
    const id = await submit();
    expect(await ask("GET", `/paint/status?task_id=${id}`)).toMatchObject([200, { task_id: id, status: "pending" }]);
    expect(await ask("GET", `/paint/get?task_id=${id}`)).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT", error: expect.stringContaining("not completed yet") },
    ]);
    expect(await ask("POST", `/paint/retry?task_id=${id}`)).toMatchObject([400, { code: "INVALID_ARGUMENT" }]);
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    const got = await app.request(`/paint/get?task_id=${id}`);
    expect([got.status, got.headers.get("content-type")]).toEqual([200, "image/webp"]);
    expect([...new Uint8Array(await got.arrayBuffer())]).toEqual([1, 2, 3]);
    for (const method of ["POST", "PUT"]) {
      const [status, again] = await ask(method, `/paint/retry?task_id=${id}`);
      expect([status, again]).toEqual([200, { task_id: expect.not.stringContaining(id), status: "pending" }]);
    }
    expect(queue.sent.length).toBe(3);
  });

  test("that failed answers with its own status", async () => {
    const { ask, submit, objects } = await painterApp();
    const id = await submit();
    const error = { error: "later", code: "RESOURCE_EXHAUSTED" as const, retry_after: 3 };
    await objects.putResult(id, { error, finishedAt: NOW });
    expect(await ask("GET", `/paint/get?task_id=${id}`)).toEqual([429, error]);
    expect(await ask("GET", `/paint/status?task_id=${id}`)).toMatchObject([200, { status: "failed" }]);
  });

  test.each(["PUT", "POST"])("is canceled by %s, and says so with a status that Python knows", async (method) => {
    const { ask, submit } = await painterApp();
    const id = await submit();
    expect(await ask(method, `/paint/cancel?task_id=${id}`)).toMatchObject([200, { task_id: id, status: "canceled" }]);
    expect(await ask(method, `/paint/cancel?task_id=${id}`)).toMatchObject([200, { status: "canceled" }]);
    expect(await ask("GET", `/paint/get?task_id=${id}`)).toMatchObject([409, { code: "CANCELED" }]);
  });

  test("of an api that streams gives its items as the call does", async () => {
    const { app, submit, objects } = await painterApp();
    const id = await submit("stream");
    const value = (n: number) => encodeItem({ kind: "value", value: { n } });
    await objects.putItems(id, 0, [...value(0), ...value(1), ...encodeItem({ kind: "end" })]);
    await objects.putResult(id, { output: { pieces: 1 }, finishedAt: NOW });
    const response = await app.request(`/stream/get?task_id=${id}`);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(await response.text()).toBe('{"n":0}{"n":1}');
  });

  const ROUTES = [
    ["GET", "status"],
    ["GET", "get"],
    ["GET", "events"],
    ["PUT", "cancel"],
    ["POST", "retry"],
  ] as const;

  test.each(ROUTES)("%s %s: an id must be given, be known and be this api's", async (method, name) => {
    const { ask, submit } = await painterApp();
    const id = await submit();
    expect(await ask(method, `/paint/${name}`)).toMatchObject([400, { error: expect.stringContaining("task_id") }]);
    for (const path of [`/paint/${name}?task_id=x`, `/describe/${name}?task_id=${id}`])
      expect(await ask(method, path)).toMatchObject([404, { code: "NOT_FOUND" }]);
  });

  test.each([["POST", "submit"] as const, ...ROUTES])(
    "%s %s takes no other method, and is off without tasks",
    async (method, name) => {
      const { app, ask } = await painterApp();
      const refused = await app.request(`/paint/${name}`, { method: "DELETE" });
      expect([refused.status, await refused.json()]).toMatchObject([405, { code: "METHOD_NOT_ALLOWED" }]);
      expect(refused.headers.get("allow")!.split(", ")).toContain(method);
      const without = await painterApp(false);
      expect(await without.ask(method, `/paint/${name}?task_id=x`)).toMatchObject([
        404,
        { code: "NOT_FOUND", error: expect.stringContaining("queue") },
      ]);
      expect((await ask("POST", `/paint/${name}/x`))[0]).toBe(404);
    },
  );
});

describe("events", () => {
  /** The events of a body, each with its fields. */
  async function* eventsOf(response: Response): AsyncGenerator<Record<string, string>> {
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const lines = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        yield Object.fromEntries(lines.map((line) => [line.split(": ", 1)[0]!, line.slice(line.indexOf(": ") + 2)]));
      }
    }
  }

  test("come as they happen, in the form of server-sent events", async () => {
    const { app, submit, objects } = await painterApp();
    const id = await submit();
    const response = await app.request(`/paint/events?task_id=${id}`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    const events = eventsOf(response);
    expect((await events.next()).value).toMatchObject({ event: "queued", data: '{"ahead":null,"eta":null}' });
    await objects.putProgress(id, { run: "r", startedAt: NOW, at: NOW, sequence: 1, fraction: 0.5 });
    const { value: progress } = await events.next();
    expect(progress).toMatchObject({ event: "progress", data: '{"fraction":0.5}' });
    await objects.putResult(id, { output: picture, finishedAt: NOW });
    const result = { id: "end", event: "result", data: `{"status":"completed","url":"/paint/get?task_id=${id}"}` };
    expect(await all(events)).toEqual([result]);
    const headers = { "last-event-id": progress!.id! };
    expect(await all(eventsOf(await app.request(`/paint/events?task_id=${id}`, { headers })))).toEqual([result]);
    const ended = await app.request(`/paint/events?task_id=${id}`, { headers: { "last-event-id": "end" } });
    expect(ended.status).toBe(204);
  });

  test("the store is left alone when the reader goes", async () => {
    const { app, submit, store } = await painterApp();
    const id = await submit();
    const response = await app.request(`/paint/events?task_id=${id}`);
    const reader = response.body!.getReader();
    await reader.read();
    const signals = new Set<AbortSignal>();
    const get = store.get.bind(store);
    store.get = (key, signal) => {
      if (signal) signals.add(signal);
      return get(key, signal);
    };
    const waiting = reader.read();
    await expect.poll(() => signals.size).toBe(1);
    await reader.cancel();
    expect((await waiting).done).toBe(true);
    expect([...signals].every(({ aborted }) => aborted)).toBe(true);
  });

  test("over a connection, its end is the reader's", async () => {
    const { tasks, objects, store } = await painterTasks();
    const host = new ServiceHost(Painter, { paint: unused, describe: unused, stream: unused, chunks: unused });
    await host.start();
    const server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, { tasks });
    onTestFinished(() => server.close());
    const { task_id: id } = await tasks.submit("paint", { prompt: "a" });
    const signals = new Set<AbortSignal>();
    const get = store.get.bind(store);
    store.get = (key, signal) => {
      if (signal) signals.add(signal);
      return get(key, signal);
    };
    const gone = new AbortController();
    const response = await fetch(`${server.url}/paint/events?task_id=${id}`, { signal: gone.signal });
    const events = eventsOf(response);
    expect((await events.next()).value).toMatchObject({ event: "queued" });
    await objects.putProgress(id, { run: "r", startedAt: NOW, at: NOW, sequence: 1, fraction: 0.5 });
    expect((await events.next()).value).toMatchObject({ event: "progress" });
    gone.abort();
    await expect.poll(() => [...signals].map(({ aborted }) => aborted)).toEqual([true]);
  });

  test("nothing is read that nobody takes", async () => {
    const { app, submit, store } = await painterApp();
    const id = await submit();
    const response = await app.request(`/paint/events?task_id=${id}`);
    let reads = 0;
    const get = store.get.bind(store);
    store.get = (key, signal) => {
      reads++;
      return get(key, signal);
    };
    await new Promise((resolve) => setImmediate(resolve));
    expect(reads).toBe(0);
    const reader = response.body!.getReader();
    await reader.read();
    expect(reads).toBeGreaterThan(0);
    await reader.cancel();
  });
});

describe("descriptions", () => {
  test("schema.json says that BentoML's clients may submit, where they may", async () => {
    const { app } = await painterApp();
    const schema = (await (await app.request("/schema.json")).json()) as { routes: Json[] };
    expect(schema).toEqual(bentoSchema(Painter, true));
    expect(schema.routes.map(({ is_task }) => is_task)).toEqual([true, true, true, true]);
    expect((bentoSchema(Painter).routes as Json[]).some(({ is_task }) => is_task)).toBe(false);
  });

  test("docs.json is valid OpenAPI 3.1 with the task routes", async () => {
    const { app } = await painterApp();
    const document = (await (await app.request("/docs.json")).json()) as {
      paths: Record<string, Record<string, Json>>;
    };
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    validator.resolveRefs();
    expect(document.paths["/paint/submit"]!.post).toMatchObject({ operationId: "Painter__paint_submit" });
    const operations = Object.values(document.paths).flatMap((path) =>
      Object.values(path).map(({ operationId }) => operationId),
    );
    const named = operations.filter((id) => id !== undefined);
    expect(new Set(named).size).toBe(named.length);
    expect(named.length).toBe(4 * 9);
    expect(openApi(Painter).paths).not.toHaveProperty(["/paint/submit"]);
  });

  test("docs.json has what Schemathesis missed: both methods, the end of events, what keys and callbacks may answer", () => {
    const { paths, components } = openApi(Painter, true) as {
      paths: Record<string, Record<string, { responses: Json; parameters: Json[] }>>;
      components: { schemas: Json; responses: Json };
    };
    for (const [method, name] of BOTH) expect(paths[`/paint/${name}`]).toHaveProperty(method.toLowerCase());
    expect(paths["/paint/events"]!.get!.responses).toMatchObject({
      "200": { content: { "text/event-stream": { schema: { $ref: "#/components/schemas/TaskEvent" } } } },
      "204": {},
    });
    expect(paths["/paint/submit"]!.post!.responses).toHaveProperty("403");
    expect(components.responses).toHaveProperty("403");
    for (const status of ["409", "410"]) {
      expect(paths["/paint"]!.post!.responses).toHaveProperty(status);
      expect((openApi(Painter).paths as typeof paths)["/paint"]!.post!.responses).not.toHaveProperty(status);
    }
    expect(paths["/paint"]!.post!.parameters.map(({ name }) => name)).toEqual(["Idempotency-Key", "tandem-timeout-ms"]);
    expect(paths["/paint/status"]!.get!.parameters).toMatchObject([{ name: "task_id", schema: { minLength: 1 } }]);
  });

  test.each<[string, string]>([...BOTH, ["GET", "status"]])(
    "%s %s, which docs.json has, is taken and allowed",
    async (method, name) => {
      const { app } = await painterApp();
      expect((await app.request(`/paint/${name}`, { method })).status).toBe(400);
      const refused = await app.request(`/paint/${name}`, { method: "DELETE" });
      expect(refused.status).toBe(405);
      expect(refused.headers.get("allow")!.split(", ").sort()).toEqual(
        method === "GET" ? ["GET", "HEAD"] : ["POST", "PUT"],
      );
    },
  );
});
