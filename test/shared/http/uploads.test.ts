import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { Guard } from "#shared/http/access.ts";
import { readKeys } from "#shared/http/access-keys.ts";
import type { AppOptions } from "#shared/http/app.ts";
import { listen } from "#shared/http/server.ts";
import type { Upload } from "#shared/http/uploads.ts";
import { log } from "#shared/observability/log.ts";
import { Discovery } from "#shared/service/discovery.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { lazyStore } from "#shared/store/lazy-store.ts";
import { kindsApp } from "./kinds-service.ts";

log.level = "silent";

type Json = Record<string, unknown>;
const folder = mkdtempSync(join(tmpdir(), "tandem-uploads-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => void vi.useRealTimers());
const JSON_TYPE = { "content-type": "application/json" };
const PIXELS = Uint8Array.of(137, 80, 78, 71);

async function uploadApp(options: AppOptions = {}) {
  const { app } = await kindsApp({ store: new DiskStore(folder), ...options });
  const ask = async (
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer> | FormData,
    headers: Record<string, string> = {},
  ) => {
    const response = await app.request(path, { method, headers, ...(body !== undefined && { body }) });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: (text && parsed(text)) as Json };
  };
  const call = (api: string, input: unknown) => ask("POST", `/${api}`, JSON.stringify(input), JSON_TYPE);
  const announce = async (request: Json = {}): Promise<Upload> => {
    const { status, json } = await ask("POST", "/uploads", JSON.stringify(request), JSON_TYPE);
    expect(status).toBe(201);
    return json as unknown as Upload;
  };
  const put = (upload: Upload, bytes: Uint8Array<ArrayBuffer>) =>
    ask(upload.method, upload.url, bytes, { ...upload.headers, "content-length": String(bytes.byteLength) });
  const uploaded = async (bytes: Uint8Array<ArrayBuffer>): Promise<Upload> => {
    const upload = await announce();
    expect((await put(upload, bytes)).status).toBe(204);
    return upload;
  };
  return { app, ask, call, announce, put, uploaded };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function formOf(fields: Record<string, string>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

const later = (seconds: number): void => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + seconds * 1000 });
};

describe("an upload", () => {
  test("is announced with where to put it, for a quarter of an hour", async () => {
    const { announce } = await uploadApp();
    const before = Date.now();
    const upload = await announce({ bytes: 4, content_type: "image/png" });
    const id = upload.upload.slice("upload:".length);
    expect(upload).toEqual({
      upload: expect.stringMatching(/^upload:[\w-]{29,}$/),
      method: "PUT",
      url: `http://localhost/uploads/${id}`,
      headers: { "content-type": "image/png" },
      expires_at: expect.any(String),
    });
    const seconds = (Date.parse(upload.expires_at) - before) / 1000;
    expect(Math.round(seconds / 60)).toBe(15);
  });

  test("needs no body to be announced, and no two are the same", async () => {
    const { ask } = await uploadApp();
    const [one, other] = [await ask("POST", "/uploads"), await ask("POST", "/uploads")];
    expect([one.status, other.status]).toEqual([201, 201]);
    expect(one.json.upload).not.toBe(other.json.upload);
  });

  test.each(["GET", "PUT", "DELETE"])("is not announced by %s: that is 405 and says what is", async (method) => {
    const { ask } = await uploadApp();
    const { status, headers, json } = await ask(method, "/uploads");
    expect([status, headers.get("allow"), json.code]).toEqual([405, "POST", "METHOD_NOT_ALLOWED"]);
  });

  test.each<[string, Json, string]>([
    ["no bytes", { bytes: 0 }, "bytes"],
    ["a type that is none", { content_type: "image/png\r\nx: y" }, "content_type"],
    ["anything else", { name: "a.png" }, "name"],
  ])("is not announced with %s", async (_what, request, field) => {
    const { ask } = await uploadApp();
    const { status, text } = await ask("POST", "/uploads", JSON.stringify(request), JSON_TYPE);
    expect([status, text]).toEqual([400, expect.stringContaining(field)]);
  });

  test("stands for a picture and for bytes, in JSON", async () => {
    const { call, uploaded } = await uploadApp();
    const { upload } = await uploaded(PIXELS);
    const { status, json } = await call("files", { image: upload, images: [upload, "AQ=="], raw: upload });
    expect([status, json]).toEqual([200, { image: [...PIXELS], images: [[...PIXELS], [1]], raw: [...PIXELS], k: 1 }]);
  });

  test("stands for a picture and for bytes in a form, as text or in quotes", async () => {
    const { ask, uploaded } = await uploadApp();
    const { upload } = await uploaded(PIXELS);
    for (const images of [upload, JSON.stringify(upload), JSON.stringify([upload])]) {
      const { status, json } = await ask("POST", "/files", formOf({ image: upload, images, raw: upload, k: "3" }));
      expect([status, json]).toEqual([200, { image: [...PIXELS], images: [[...PIXELS]], raw: [...PIXELS], k: 3 }]);
    }
  });

  test("is named by its own URL, too, presigned or not, wherever the service is", async () => {
    const { ask, call, uploaded } = await uploadApp();
    const { url } = await uploaded(PIXELS);
    for (const image of [url, `${url}?X-Amz-Signature=0`, url.replace("http://localhost", "https://a.example/b")]) {
      expect((await ask("POST", "/files", formOf({ image }))).json).toMatchObject({ image: [...PIXELS] });
      expect((await call("files", { image })).json).toMatchObject({ image: [...PIXELS] });
    }
  });

  test("is text where text is wanted", async () => {
    const { call, uploaded } = await uploadApp();
    const { upload } = await uploaded(PIXELS);
    expect((await call("text", { s: upload })).text).toBe(upload);
  });

  test("may be named again and again", async () => {
    const { call, uploaded } = await uploadApp();
    const { upload } = await uploaded(PIXELS);
    for (let i = 0; i < 3; i++) expect((await call("optional", { image: upload })).text).toBe("4");
  });
});

describe("a name that cannot be used", () => {
  const unheard = `upload:${Math.floor(Date.now() / 1000).toString(36)}-${"A".repeat(22)}`;

  test.each([
    ["never heard of", unheard],
    ["that is none", "upload:../../etc/passwd"],
    ["that is empty", "upload:"],
  ])("one %s is 404, with its field", async (_what, image) => {
    const { call } = await uploadApp();
    const { status, json } = await call("files", { image: "AQ==", images: ["AQ==", image] });
    expect([status, json]).toMatchObject([404, { code: "NOT_FOUND", detail: [{ path: ["images", 1] }] }]);
    expect(json.error).toMatch(/^images\.1: /);
  });

  test("one without its bytes is 409 and says what to do, later 410", async () => {
    const { call, announce } = await uploadApp();
    const { upload } = await announce();
    expect(await call("files", { image: upload })).toMatchObject({
      status: 409,
      json: { code: "CONFLICT", error: expect.stringContaining("PUT"), detail: [{ path: ["image"] }] },
    });
    later(901);
    expect(await call("files", { image: upload })).toMatchObject({ status: 410, json: { detail: [{}] } });
  });

  test("one of yesterday is 410, whether the store has swept it or not", async () => {
    const { call, uploaded } = await uploadApp();
    const { upload } = await uploaded(PIXELS);
    later(86_000);
    expect((await call("files", { image: upload })).status).toBe(200);
    later(401);
    expect((await call("files", { image: upload })).status).toBe(410);
    await new DiskStore(folder).delete(`Kinds/uploads/${upload.slice(7)}`);
    await new DiskStore(folder).delete(`Kinds/uploads/${upload.slice(7)}.json`);
    expect((await call("files", { image: upload })).status).toBe(410);
  });

  test("a foreign URL is not fetched", async () => {
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(request.url!);
      response.end("x");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const { ask } = await uploadApp();
    const answers = [`${origin}/a.png`, `${origin}/uploads/${unheard.slice(7)}`].map((image) =>
      ask("POST", "/files", formOf({ image })),
    );
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([400, 404]);
    expect(asked).toEqual([]);
  });
});

describe("its bytes", () => {
  test("are taken once", async () => {
    const { call, put, uploaded } = await uploadApp();
    const upload = await uploaded(PIXELS);
    expect(await put(upload, Uint8Array.of(1))).toMatchObject({ status: 409, json: { code: "CONFLICT" } });
    expect((await call("optional", { image: upload.upload })).text).toBe("4");
  });

  test("must be as many as were announced, said or counted, and may come again if they are not", async () => {
    const { ask, announce, put } = await uploadApp();
    const upload = await announce({ bytes: 4 });
    expect((await put(upload, Uint8Array.of(1, 2, 3))).status).toBe(400);
    // Without a length, as a body comes that is sent in chunks.
    for (const wrong of [3, 5]) expect((await ask("PUT", upload.url, new Uint8Array(wrong))).status).toBe(400);
    expect((await put(upload, PIXELS)).status).toBe(204);
  });

  test("are no more than a request may have, said or counted", async () => {
    const { ask, announce, put } = await uploadApp({ maxBodyBytes: 1000 });
    const announced = await ask("POST", "/uploads", '{"bytes": 1001}', JSON_TYPE);
    expect([announced.status, announced.json.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    const upload = await announce();
    expect((await put(upload, new Uint8Array(1001))).status).toBe(413);
    expect((await ask("PUT", upload.url, new Uint8Array(1001))).status).toBe(413);
    expect((await put(upload, new Uint8Array(1000))).status).toBe(204);
  });

  test("leave nothing where they are refused", async () => {
    const { ask, announce } = await uploadApp({ maxBodyBytes: 1000 });
    const { url } = await announce();
    await ask("PUT", url, new Uint8Array(1001));
    expect(await readdir(join(folder, "~unfinished"))).toEqual([]);
  });

  test("come too late after a quarter of an hour, and nowhere without an announcement", async () => {
    const { ask, announce, put } = await uploadApp();
    const upload = await announce();
    expect(
      (
        await ask(
          "PUT",
          upload.url.replace(/.$/, (last) => (last === "A" ? "B" : "A")),
          "x",
        )
      ).status,
    ).toBe(404);
    later(901);
    expect((await put(upload, PIXELS)).status).toBe(410);
  });

  test("of all uploads that a request names are no more than its body might have", async () => {
    const { call, uploaded } = await uploadApp({ maxBodyBytes: 1000 });
    const { upload } = await uploaded(new Uint8Array(400));
    expect((await call("files", { image: upload, images: [upload] })).status).toBe(200);
    expect(await call("files", { image: upload, images: [upload, upload] })).toMatchObject({
      status: 413,
      json: { code: "PAYLOAD_TOO_LARGE", detail: [{ path: ["images", 1] }] },
    });
    // What was held for a call is let go, whatever became of it.
    for (let i = 0; i < 20; i++) expect((await call("files", { image: upload, images: [upload] })).status).toBe(200);
  });
});

describe("keys", () => {
  const KEY = "0123456789abcdef";
  const guarded = { guard: new Guard({ keys: readKeys(KEY) }), maxAnswerBytes: 0 };

  test("are needed to announce and to call, not to put and to fetch: the URL is the key", async () => {
    const { ask, call } = await uploadApp(guarded);
    const bearer = { authorization: `Bearer ${KEY}` };
    expect((await ask("POST", "/uploads")).status).toBe(401);
    const { json } = await ask("POST", "/uploads", "{}", { ...JSON_TYPE, ...bearer });
    expect((await ask("PUT", json.url as string, PIXELS)).status).toBe(204);
    expect((await call("files", { image: json.upload })).status).toBe(401);
    const body = JSON.stringify({ image: json.upload });
    const answer = await ask("POST", "/optional", body, { ...JSON_TYPE, ...bearer });
    expect((await ask("GET", `/${answer.headers.get("location")}`)).text).toBe("4");
  });

  test("open nothing else there", async () => {
    const { ask } = await uploadApp(guarded);
    for (const [method, path] of [
      ["GET", "/uploads/x"],
      ["PUT", "/uploads/x"],
      ["PUT", "/uploads/"],
      ["GET", "/answers/x"],
      ["PUT", "/answers/x"],
    ] as const)
      expect((await ask(method, path)).status, `${method} ${path}`).toBe(401);
  });
});

describe("without a store", () => {
  test("there are no uploads, and it says what to set", async () => {
    const { ask, call } = await uploadApp({ store: undefined });
    const none = { status: 404, json: { code: "NOT_FOUND", error: expect.stringContaining("TANDEM_STORE") } };
    expect(await ask("POST", "/uploads")).toMatchObject(none);
    expect(await call("files", { image: "upload:x" })).toMatchObject(none);
  });

  test("large answers go as they are", async () => {
    const { call } = await uploadApp({ store: undefined, maxAnswerBytes: 1 });
    expect((await call("picture", {})).status).toBe(200);
  });
});

describe("an answer over the limit", () => {
  const options = { maxAnswerBytes: 2 };

  test.each<[string, Json, string, string]>([
    ["picture", { format: "webp" }, "image/webp", "\u0001\u0002\u0003"],
    ["text", { s: "four" }, "text/plain; charset=utf-8", "four"],
    ["nothing", {}, "application/json", "null"],
    ["fields", { s: "é" }, "application/json", '{"s":"é","n":1,"list":[],"words":[]}'],
  ])("of %s is fetched from where 303 says, type kept", async (api, input, type, text) => {
    const { ask, call } = await uploadApp(options);
    const answer = await call(api, input);
    expect([answer.status, answer.text, answer.headers.get("content-type")]).toEqual([303, "", null]);
    const stored = await ask("GET", new URL(answer.headers.get("location")!, `http://x/${api}`).pathname);
    expect([stored.status, stored.headers.get("content-type"), stored.text]).toEqual([200, type, text]);
  });

  test("others, errors and streams go as they are", async () => {
    const { call } = await uploadApp(options);
    const raw = await call("raw", {});
    expect([raw.status, raw.text.length]).toEqual([200, 2]);
    expect((await call("text", { s: "ab" })).text).toBe("ab");
    expect((await call("text", {})).status).toBe(400);
    expect((await call("texts", { n: 3 })).text).toBe("text 0text 1text 2");
  });

  test("expires, and is known by its whole name only", async () => {
    const { ask, call } = await uploadApp(options);
    const path = `/${(await call("picture", { format: "png" })).headers.get("location")}`;
    const asText = `${path.split(".")[0]}.${Buffer.from("text/html").toString("base64url")}`;
    expect((await ask("GET", asText)).status).toBe(404);
    expect((await ask("GET", path)).status).toBe(200);
    later(86_401);
    expect((await ask("GET", path)).status).toBe(410);
  });

  test("may be so in one request only, by what passes it on", async () => {
    const { app } = await uploadApp();
    const request = () => new Request("http://x/text", { method: "POST", headers: JSON_TYPE, body: '{"s": "four"}' });
    expect((await app.fetch(request(), { maxAnswerBytes: 3 })).status).toBe(303);
    expect((await app.fetch(request(), { maxAnswerBytes: 4 })).status).toBe(200);
  });
});

describe("a server", () => {
  test("streams 40 MB to the disk, and the call finds them there", { timeout: 60_000 }, async () => {
    const { host } = await kindsApp();
    const store = lazyStore(`file:${folder}`);
    const server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, { store });
    onTestFinished(() => server.close());
    const picture = randomBytes(40_000_000);
    const announced = await fetch(`${server.url}/uploads`, {
      method: "POST",
      headers: JSON_TYPE,
      body: JSON.stringify({ bytes: picture.byteLength }),
    });
    const { upload, method, url, headers } = (await announced.json()) as Upload;
    expect(new URL(url).origin).toBe(server.url);
    const blob = new Blob([picture]);
    expect((await fetch(url, { method, headers: { ...headers }, body: blob })).status).toBe(204);
    expect(picture.equals((await store.get(`Kinds/uploads/${upload.slice(7)}`))!)).toBe(true);
    const called = await fetch(`${server.url}/optional`, { method: "POST", body: formOf({ image: upload }) });
    expect([called.status, await called.text()]).toEqual([200, "40000000"]);
  });

  test("leaves nothing of an upload that breaks off, which may come again", async () => {
    const { host } = await kindsApp();
    const store = new DiskStore(folder);
    const server = await listen(host, new Discovery([], {}), { host: "127.0.0.1", port: 0 }, { store });
    onTestFinished(() => server.close());
    const announced = await fetch(`${server.url}/uploads`, { method: "POST" });
    const { upload, url } = (await announced.json()) as Upload;
    const request = http.request(url, { method: "PUT", headers: { "content-length": "1000000" } });
    const broken = new Promise((resolve) => request.once("error", resolve));
    request.write(new Uint8Array(500_000));
    await vi.waitFor(async () => expect(await readdir(join(folder, "~unfinished"))).toHaveLength(1));
    request.destroy();
    await broken;
    await vi.waitFor(async () => expect(await readdir(join(folder, "~unfinished"))).toEqual([]));
    expect(await store.size(`Kinds/uploads/${upload.slice(7)}`)).toBeUndefined();
    expect((await fetch(url, { method: "PUT", body: "xyz" })).status).toBe(204);
    expect(await store.size(`Kinds/uploads/${upload.slice(7)}`)).toBe(3);
  });
});

describe("docs.json", () => {
  test("has uploads and redirects, where there is a store", async () => {
    const described = async (options: AppOptions) => {
      const { ask } = await uploadApp(options);
      return (await ask("GET", "/docs.json")).json as { paths: Record<string, Record<string, Json>> };
    };
    const description = await described({});
    const validator = new Validator();
    expect(await validator.validate(structuredClone(description))).toEqual({ valid: true });
    validator.resolveRefs();
    expect(description.paths["/uploads"]!.post).toMatchObject({ responses: { 201: {}, 413: {} } });
    expect(description.paths["/picture"]!.post).toMatchObject({ responses: { 303: { headers: { Location: {} } } } });
    expect(JSON.stringify(description.paths["/files"])).toContain("upload:<id>");
    expect(JSON.stringify(await described({ store: undefined }))).not.toMatch(/upload|"303"/);
  });
});
