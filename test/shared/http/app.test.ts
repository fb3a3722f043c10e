import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { decodeFrame, encodeFrame, joinFrame } from "#shared/codec/frame.ts";
import { FRAME_TYPE } from "#shared/codec/media-types.ts";
import type { createApp } from "#shared/http/app.ts";
import { createApp as appOf } from "#shared/http/app.ts";
import { api, ERROR_CODES, service } from "#shared/index.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { ServiceHost } from "#shared/service/host.ts";
import { kindsApp } from "./kinds-service.ts";

log.level = "silent";

let app: ReturnType<typeof createApp>;
beforeAll(async () => {
  ({ app } = await kindsApp());
});

type Body = string | Uint8Array<ArrayBuffer> | FormData | URLSearchParams;
type Json = Record<string, unknown>;
const post = async (path: string, body?: Body, headers: Record<string, string> = {}): Promise<Response> =>
  app.request(path, { method: "POST", ...(body !== undefined && { body }), headers });
const JSON_TYPE = { "content-type": "application/json" };
const postJson = (path: string, body: unknown): Promise<Response> => post(path, JSON.stringify(body), JSON_TYPE);
const answered = async (response: Promise<Response>): Promise<[number, unknown]> => {
  const { status, ...rest } = await response.then(async (got) => ({ status: got.status, body: await got.json() }));
  return [status, rest.body];
};

/** A form exactly as BentoML's client writes it: fields without a type first, files after them. */
function bentoForm(fields: Record<string, unknown>, files: [string, string, string, Uint8Array][]) {
  const boundary = "da7d5042bf80ec9bc58bd1de8ffed517";
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${JSON.stringify(value)}\r\n`),
  );
  for (const [name, filename, type, content] of files)
    parts.push(
      Buffer.concat([
        Buffer.from(
          `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: ${type}\r\n\r\n`,
        ),
        content,
        Buffer.from("\r\n"),
      ]),
    );
  const body = Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
  return [body, { "content-type": `multipart/form-data; boundary=${boundary}` }] as const;
}

describe("JSON", () => {
  test("an object with one member an argument; defaults are filled in", async () => {
    expect(await answered(postJson("/fields", { s: "é", o: { x: 1 }, maybe: null }))).toEqual([
      200,
      { s: "é", n: 1, list: [], words: [], o: { x: 1 }, maybe: null },
    ]);
  });

  test.each(["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"])(
    "content type %s",
    async (type) => {
      expect((await post("/text", '{"s": "x"}', { "content-type": type })).status).toBe(200);
    },
  );

  test("an array as nested lists both ways, a picture and bytes as base64", async () => {
    expect(await answered(postJson("/array", { arr: [[0.5, -1]] }))).toEqual([200, [[0.5, -1]]]);
    expect(await answered(postJson("/array", { arr: 3 }))).toEqual([200, 3]);
    const [, files] = await answered(postJson("/files", { image: "data:image/png;base64,AQI=", raw: "/w==" }));
    expect(files).toEqual({ image: [1, 2], images: [], raw: [255], k: 1 });
  });

  test("values that JSON has no word for", async () => {
    expect(await answered(postJson("/big", {}))).toEqual([
      200,
      {
        small: 5,
        large: String(2n ** 60n),
        longs: [1, String(2n ** 60n)],
        flags: [[true, false]],
        picture: "data:image/png;base64,AQ==",
        bytes: "AQ==",
        nan: null,
        date: "1970-01-01T00:00:00.000Z",
      },
    ]);
  });

  test.each([
    ["no JSON", "{", /no JSON/],
    ["a list", "[]", /JSON object/],
    ["null", "null", /JSON object/],
    ["text", '"s"', /JSON object/],
    ["bytes that are no UTF-8", new Uint8Array([123, 34, 255, 34, 125]), /no JSON/],
  ])("%s is refused with 400", async (_what, body, message) => {
    const [status, json] = await answered(post("/text", body, { "content-type": "application/json" }));
    expect([status, json]).toEqual([400, { code: "INVALID_ARGUMENT", error: expect.stringMatching(message) }]);
  });

  test("a member named __proto__ changes nothing", async () => {
    const [status] = await answered(post("/text", '{"s": "x", "__proto__": {"polluted": 1}}', JSON_TYPE));
    expect([200, 400]).toContain(status);
    expect(Object.prototype).not.toHaveProperty("polluted");
  });
});

describe("forms", () => {
  const png = Uint8Array.of(137, 80, 78, 71);

  test("as BentoML's client sends a picture with fields", async () => {
    const [body, headers] = bentoForm({ k: 50, o: { x: 2 } }, [["image", "pic.png", "image/png", png]]);
    expect(await answered(post("/files", body, headers))).toEqual([
      200,
      { image: [...png], images: [], k: 50, o: { x: 2 } },
    ]);
  });

  test("files first, and a label that lies, make no difference", async () => {
    const [body, headers] = bentoForm({}, [
      ["image", "../../x.exe", "application/octet-stream", png],
      ["raw", "r.bin", "image/png", Uint8Array.of(1)],
      ["k", "k.json", "application/json", Buffer.from("3")],
    ]);
    expect(await answered(post("/files", body, headers))).toEqual([
      200,
      { image: [...png], images: [], raw: [1], k: 3 },
    ]);
  });

  test("a list's files are parts of one name, one of them too", async () => {
    const one: [string, string, string, Uint8Array] = ["images", "a.png", "image/png", Uint8Array.of(1)];
    const main: [string, string, string, Uint8Array] = ["image", "m.png", "image/png", png];
    for (const images of [[one], [one, one]]) {
      const [body, headers] = bentoForm({}, [...images, main]);
      expect(await answered(post("/files", body, headers))).toMatchObject([200, { images: images.map(() => [1]) }]);
    }
  });

  test.each<[string, Record<string, string[]>, Json]>([
    ["text as it is", { s: ["hello there"] }, { s: "hello there" }],
    ["text in quotes, as BentoML sends it", { s: ['"hello"'] }, { s: "hello" }],
    ["digits for a text", { s: ["123"] }, { s: "123" }],
    ["true for a text", { s: ["true"] }, { s: "true" }],
    ["null for a text that cannot be null", { s: ["null"] }, { s: "null" }],
    ["null for a text that can", { s: ["x"], maybe: ["null"] }, { maybe: null }],
    ["quoted null for a text that can", { s: ["x"], maybe: ['"null"'] }, { maybe: "null" }],
    ["an empty text", { s: [""] }, { s: "" }],
    ["numbers and booleans", { s: ["x"], n: ["2.5"], flag: ["true"] }, { n: 2.5, flag: true }],
    ["an object", { s: ["x"], o: ['{"x": 4}'] }, { o: { x: 4 } }],
    ["a list as JSON", { s: ["x"], list: ["[1, 2]"] }, { list: [1, 2] }],
    ["a list as parts", { s: ["x"], list: ["1", "2"] }, { list: [1, 2] }],
    ["a list of one part", { s: ["x"], list: ["1"] }, { list: [1] }],
    ["texts as parts", { s: ["x"], words: ["a", "1"] }, { words: ["a", "1"] }],
    ["texts as JSON", { s: ["x"], words: ['["a", "1"]'] }, { words: ["a", "1"] }],
    ["an array as JSON", { s: ["x"], arr: ["[[1, 2]]"] }, { arr: [[1, 2]] }],
  ])("%s: in a form and urlencoded", async (_what, parts, expected) => {
    const form = new FormData();
    const query = new URLSearchParams();
    for (const [name, values] of Object.entries(parts))
      for (const value of values) {
        form.append(name, value);
        query.append(name, value);
      }
    expect(await answered(post("/fields", form))).toMatchObject([200, expected]);
    expect(await answered(post("/fields", query))).toMatchObject([200, expected]);
  });

  test("a JSON part as browsers send it, as a file of that type", async () => {
    const form = new FormData();
    form.append("image", new Blob([png], { type: "image/png" }), "a.png");
    form.append("o", new Blob(['{"x": 9}'], { type: "application/json" }));
    expect(await answered(post("/files", form))).toMatchObject([200, { o: { x: 9 } }]);
  });

  test("a field given twice that is no list is refused by name", async () => {
    const form = new FormData();
    form.append("s", "a");
    form.append("s", "b");
    expect(await answered(post("/fields", form))).toMatchObject([400, { detail: [{ path: ["s"] }] }]);
  });

  test("a URL in place of a picture is refused by name", async () => {
    const url = new URLSearchParams({ image: "http://127.0.0.1:1/a.png" });
    expect(await answered(post("/files", url))).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT", detail: [{ path: ["image"], message: expect.stringContaining("not its URL") }] },
    ]);
  });

  test.each([
    ["no boundary", "multipart/form-data", "x"],
    ["no part", "multipart/form-data; boundary=a", "x"],
    [
      "a form that is cut off",
      "multipart/form-data; boundary=a",
      '--a\r\nContent-Disposition: form-data; name="s"\r\n\r\nx',
    ],
  ])("%s is refused with 400", async (_what, type, body) => {
    expect(await answered(post("/fields", body, { "content-type": type }))).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT" },
    ]);
  });

  test.each(["__proto__", "constructor", "toString"])("a part named %s is an unknown field", async (name) => {
    const form = new FormData();
    form.append("s", "x");
    form.append(name, '{"polluted": 1}');
    const [status] = await answered(post("/fields", form));
    expect(status).toBe(400);
    expect({}).not.toHaveProperty("polluted");
  });
});

describe("empty bodies", () => {
  test("no body and no type is an empty input", async () => {
    expect(await answered(post("/optional"))).toEqual([200, 7]);
    expect(await answered(post("/nothing", "", { "content-length": "0" }))).toEqual([200, null]);
    expect(await answered(post("/nothing", "{}", JSON_TYPE))).toEqual([200, null]);
  });

  test("where something is required, it is named", async () => {
    expect(await answered(post("/text"))).toMatchObject([400, { detail: [{ path: ["s"] }] }]);
    expect(await answered(post("/files"))).toMatchObject([400, { detail: [{ path: ["image"] }] }]);
  });
});

describe("answers", () => {
  test.each([
    [{ format: "png" }, "image/png"],
    [{ format: "jpeg" }, "image/jpeg"],
    [{ format: "webp" }, "image/webp"],
    [{}, "application/octet-stream"],
  ])("a picture %j has the bare type %s", async (input, type) => {
    const response = await postJson("/picture", input);
    expect(response.headers.get("content-type")).toBe(type);
    expect(response.headers.get("content-length")).toBe("3");
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([1, 2, 3]);
  });

  test("a text is itself, without quotes", async () => {
    const response = await postJson("/text", { s: "ünquoted" });
    expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
    expect(await response.text()).toBe("ünquoted");
  });

  test("bytes are themselves", async () => {
    const response = await postJson("/raw", {});
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0, 255]);
  });

  test("what came with the request is in the context", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = {
      ...JSON_TYPE,
      accept: "image/webp",
      traceparent,
      "tandem-call-id": "id-7",
      "idempotency-key": "k",
    };
    const [, seen] = await answered(post("/seen", "{}", headers));
    expect(seen).toEqual({
      accept: "image/webp",
      callId: "id-7",
      idempotencyKey: "k",
      traceparent: expect.stringMatching(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/),
    });
  });

  test("a frame in, a frame out", async () => {
    const body = joinFrame(encodeFrame({ s: "x" })) as Uint8Array<ArrayBuffer>;
    const response = await post("/text", body, { "content-type": FRAME_TYPE });
    expect(response.headers.get("content-type")).toBe(FRAME_TYPE);
    expect(decodeFrame(new Uint8Array(await response.arrayBuffer()))).toBe("x");
  });

  test("a body that is no frame", async () => {
    expect(await answered(post("/text", "nonsense", { "content-type": FRAME_TYPE }))).toMatchObject([
      400,
      { code: "INVALID_ARGUMENT" },
    ]);
  });
});

describe("streams", () => {
  const chunksOf = async (response: Response): Promise<string[]> => {
    const chunks: string[] = [];
    for await (const chunk of response.body!) chunks.push(Buffer.from(chunk).toString());
    return chunks;
  };

  test("one chunk an item, bare", async () => {
    const response = await postJson("/objects", { n: 2 });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(await chunksOf(response)).toEqual(['{"x":0,"tags":[]}', '{"x":1,"tags":[]}']);
    expect(await chunksOf(await postJson("/texts", {}))).toEqual(["text 0", "text 1", "text 2"]);
    expect(await chunksOf(await postJson("/chunks", {}))).toEqual(["\u0001", "\u0002\u0003"]);
    expect(await chunksOf(await postJson("/texts", { n: 0 }))).toEqual([]);
  });

  test("a failure before the first item is an ordinary error", async () => {
    expect(await answered(postJson("/objects", { n: 1, failAt: 0 }))).toMatchObject([409, { code: "CONFLICT" }]);
    expect(await answered(postJson("/objects", {}))).toMatchObject([400, { detail: [{ path: ["n"] }] }]);
  });

  test("a failure later breaks the body off", async () => {
    const response = await postJson("/objects", { n: 3, failAt: 1 });
    expect(response.status).toBe(200);
    await expect(chunksOf(response)).rejects.toThrow("no 1");
  });

  test("a reader that goes frees the place", async () => {
    const { app: own, host } = await kindsApp();
    const response = await own.request("/texts", { method: "POST", body: '{"n": 1000000}', headers: JSON_TYPE });
    const reader = response.body!.getReader();
    await reader.read();
    expect(host.inFlight).toBe(1);
    await reader.cancel();
    await expect.poll(() => host.inFlight).toBe(0);
  });
});

describe("errors", () => {
  // CANCELED is the caller's word alone: one who still waits hears UNAVAILABLE (499 breaks BentoML's client).
  const thrown = Object.entries(ERROR_CODES).filter(([code]) => code !== "CANCELED");
  test.each(thrown)("%s has its status and body", async (code, { status }) => {
    expect(await answered(postJson("/fail", { code }))).toEqual([status, { code, error: "out of luck" }]);
  });

  test("CANCELED is not said to a caller who still waits", async () => {
    expect((await postJson("/fail", { code: "CANCELED" })).status).toBe(503);
  });

  test("Retry-After is in whole seconds, at least the time given", async () => {
    const response = await postJson("/fail", { code: "RESOURCE_EXHAUSTED", retryAfter: 1.2 });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("2");
    expect((await postJson("/fail", { code: "CONFLICT" })).headers.get("retry-after")).toBeNull();
  });

  test("over max_concurrency: 429 with Retry-After", async () => {
    const Narrow = service("Narrow", {
      traffic: { maxConcurrency: 1 },
      apis: { hold: api({ input: z.strictObject({}), output: z.null() }) },
    });
    const { promise, resolve } = Promise.withResolvers<null>();
    const host = new ServiceHost(Narrow, { hold: () => promise });
    await host.start();
    const narrow = appOf(host, new Discovery([], {}));
    const first = narrow.request("/hold", { method: "POST" });
    await expect.poll(() => host.inFlight).toBe(1);
    const second = await narrow.request("/hold", { method: "POST" });
    expect([second.status, second.headers.get("retry-after")]).toEqual([429, expect.stringMatching(/^[1-9]\d*$/)]);
    resolve(null);
    expect((await first).status).toBe(200);
  });

  test("every faulty field is named by its path", async () => {
    expect(await answered(postJson("/fields", { n: "x", o: { x: -1 }, list: [1, "2"] }))).toEqual([
      400,
      {
        code: "INVALID_ARGUMENT",
        error: expect.stringMatching(/^s: .*\(and 3 more\)$/),
        detail: [["s"], ["n"], ["list", 1], ["o", "x"]].map((path) => ({ path, message: expect.any(String) })),
      },
    ]);
    expect(await answered(postJson("/fields", { s: "x", arr: [[1, 2, 3]] }))).toMatchObject([
      400,
      { detail: [{ path: ["arr"], message: "expected shape [h, 2], received [1, 3]" }] },
    ]);
  });

  test("an unknown field is refused by name", async () => {
    expect(await answered(postJson("/text", { s: "x", promt: 1 }))).toMatchObject([
      400,
      { error: expect.stringContaining("promt") },
    ]);
  });

  test("what an implementation throws stays at home", async () => {
    const response = await postJson("/crash", {});
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("hunter2");
  });

  test.each([
    ["GET", "/nowhere"],
    ["POST", "/nowhere"],
    ["POST", "/fields/submit/x"],
    ["POST", "/toString"],
    ["POST", "/%ff"],
  ])("%s %s is 404 and names the apis", async (method, path) => {
    const response = await app.request(path, { method });
    expect([response.status, await response.json()]).toEqual([
      404,
      { code: "NOT_FOUND", error: expect.stringContaining("/fields") },
    ]);
  });

  test.each(["GET", "PUT", "DELETE"])("%s on an api is 405 and says what is allowed", async (method) => {
    const response = await app.request("/text", { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect(await response.json()).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
  });

  test.each(["text/plain", "application/xml", "image/png", "application/vnd.bentoml+pickle"])(
    "content type %s is 415",
    async (type) => {
      expect(await answered(post("/text", '{"s": "x"}', { "content-type": type }))).toMatchObject([
        415,
        { code: "UNSUPPORTED_MEDIA_TYPE" },
      ]);
    },
  );

  test("a body over the limit is 413, whether its length is told or not", async () => {
    const { app: small } = await kindsApp({ maxBodyBytes: 100 });
    const body = JSON.stringify({ s: "x".repeat(100) });
    const told = await small.request("/text", {
      method: "POST",
      body,
      headers: { "content-length": String(body.length) },
    });
    const stream = ReadableStream.from([Buffer.from(body.slice(0, 50)), Buffer.from(body.slice(50))]);
    const untold = await small.request(
      new Request("http://here/text", { method: "POST", body: stream, duplex: "half" }),
    );
    for (const response of [told, untold])
      expect([response.status, await response.json()]).toEqual([
        413,
        { code: "PAYLOAD_TOO_LARGE", error: expect.stringContaining("100") },
      ]);
    expect((await small.request("/text", { method: "POST", body: '{"s": "x"}', headers: JSON_TYPE })).status).toBe(200);
  });
});

describe("probes and metrics", () => {
  test("livez, readyz and healthz", async () => {
    for (const path of ["/livez", "/readyz", "/healthz"]) expect((await app.request(path)).status).toBe(200);
  });

  test("readyz is 503 while the service drains, livez is not", async () => {
    const { app: own, host } = await kindsApp();
    await host.stop();
    expect((await own.request("/readyz")).status).toBe(503);
    expect((await own.request("/livez")).status).toBe(200);
  });

  test("readyz is 503 while a dependency is nowhere", async () => {
    const dependency = service("Absent", { apis: {} });
    const host = new ServiceHost(service("Lonely", { apis: {}, dependencies: [dependency] }), {});
    await host.start();
    expect((await appOf(host, new Discovery([], {})).request("/readyz")).status).toBe(503);
  });

  test("metrics under BentoML's names", async () => {
    await postJson("/text", { s: "counted" });
    await postJson("/text", {});
    const response = await app.request("/metrics");
    expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
    const text = await response.text();
    const labels = 'endpoint="/text",service_name="Kinds",service_version="not available",runner_name="Kinds"';
    for (const status of [200, 400])
      expect(text).toMatch(
        new RegExp(`^bentoml_service_request_total\\{${labels},http_response_code="${status}"\\} [1-9]`, "m"),
      );
    expect(text).toContain(`bentoml_service_request_in_progress{${labels}} 0`);
    expect(text).toMatch(/^bentoml_service_request_duration_seconds_bucket\{le="0.005",/m);
    expect(text).toMatch(/^# TYPE bentoml_service_adaptive_batch_size histogram$/m);
  });
});
