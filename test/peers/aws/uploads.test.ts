import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { StoredAnswers } from "#shared/http/upload-answers.ts";
import type { Upload } from "#shared/http/uploads.ts";
import { log } from "#shared/observability/log.ts";
import { lazyStore } from "#shared/store/lazy-store.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { type AwsPeer, awsEnv } from "../../aws/peer.ts";
import { kindsApp } from "../../shared/http/kinds-service.ts";
import { startMoto } from "./moto.ts";
import { startVersityGw } from "./versitygw.ts";

log.level = "silent";

describe.each([
  // moto looks at no signature.
  ["moto", startMoto, false],
  ["versitygw", startVersityGw, true],
] as const)("%s", (_name, start, checks) => {
  let peer: AwsPeer;
  let store: ObjectStore;
  let app: Awaited<ReturnType<typeof kindsApp>>["app"];
  beforeAll(async () => {
    peer = await start();
    Object.assign(process.env, awsEnv(peer.endpoint));
    await ensureBucket("uploads");
  });
  beforeEach(async () => {
    store = lazyStore("s3://uploads/some/place");
    ({ app } = await kindsApp({ store, maxAnswerBytes: 100 }));
  });
  afterAll(() => peer?.stop());

  const post = async (path: string, body: object): Promise<Response> =>
    app.request(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const announce = async (request: object): Promise<Upload> =>
    (await (await post("/uploads", request)).json()) as Upload;
  const put = async ({ url, method, headers }: Upload, body: Uint8Array<ArrayBuffer>, more = {}): Promise<number> => {
    const answer = await fetch(url, { method, headers: { ...headers, ...more }, body });
    await answer.arrayBuffer();
    return answer.status;
  };

  test("an upload goes to the bucket, with no word of credentials, and is read from there", async () => {
    const bytes = randomBytes(6_000_000);
    const upload = await announce({ bytes: bytes.byteLength, content_type: "image/png" });
    const url = new URL(upload.url);
    expect([url.origin, url.pathname]).toEqual([
      peer.endpoint,
      `/uploads/some/place/Kinds/uploads/${upload.upload.slice(7)}`,
    ]);
    expect(upload.headers).toEqual({ "content-type": "image/png", "if-none-match": "*" });
    expect(await put(upload, bytes)).toBe(200);
    expect(bytes.equals((await store.get(`Kinds/uploads/${upload.upload.slice(7)}`))!)).toBe(true);
    for (const image of [upload.upload, upload.url])
      expect(await (await post("/optional", { image })).text()).toBe("6000000");
  });

  test("one of unknown size and type", async () => {
    const upload = await announce({});
    expect(upload.headers).toEqual({ "if-none-match": "*" });
    expect(await put(upload, new Uint8Array(3), { "content-type": "text/plain" })).toBe(200);
    expect(await (await post("/optional", { image: upload.upload })).text()).toBe("3");
  });

  test("one over the limit is not read, though the bucket took it", async () => {
    ({ app } = await kindsApp({ store, maxBodyBytes: 1000 }));
    const upload = await announce({});
    expect(await put(upload, new Uint8Array(1001))).toBe(200);
    const get = vi.spyOn(store, "get");
    expect((await post("/optional", { image: upload.upload })).status).toBe(413);
    expect(get).not.toHaveBeenCalled();
  });

  test("before its bytes are there, the call says so", async () => {
    const { upload } = await announce({ bytes: 3 });
    expect((await post("/optional", { image: upload })).status).toBe(409);
  });

  test("the server itself takes no bytes", async () => {
    const { upload } = await announce({ bytes: 3 });
    const answer = await app.request(`/uploads/${upload.slice(7)}`, { method: "PUT", body: "xyz" });
    expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining("POST /uploads")]);
  });

  test("an answer over the limit is fetched from the bucket, its type kept", async () => {
    const s = "x".repeat(101);
    const answer = await post("/text", { s });
    const location = answer.headers.get("location")!;
    expect([answer.status, new URL(location).origin]).toEqual([303, peer.endpoint]);
    const stored = await fetch(location);
    expect([stored.headers.get("content-type"), await stored.text()]).toEqual(["text/plain; charset=utf-8", s]);
  });

  describe.runIf(checks)("refuses", () => {
    test("another length than was announced", async () => {
      const upload = await announce({ bytes: 3 });
      for (const wrong of [2, 4]) expect(await put(upload, new Uint8Array(wrong))).toBe(403);
      expect(await put(upload, new Uint8Array(3))).toBe(200);
    });

    test("another type than was announced", async () => {
      const upload = await announce({ bytes: 3, content_type: "image/png" });
      expect(await put(upload, new Uint8Array(3), { "content-type": "text/html" })).toBe(403);
    });

    test("bytes for a second time, and without the condition that says so", async () => {
      const upload = await announce({ bytes: 3 });
      expect(await put({ ...upload, headers: {} }, new Uint8Array(3))).toBe(403);
      expect(await put(upload, new Uint8Array(3))).toBe(200);
      expect(await put(upload, new Uint8Array(3))).toBe(412);
    });

    test("another object's name", async () => {
      const [one, other] = [await announce({}), await announce({})];
      const url = one.url.replace(one.upload.slice(7), other.upload.slice(7));
      expect(await put({ ...one, url }, new Uint8Array(3))).toBe(403);
    });

    test("what comes after its time, and another type of a stored answer", async () => {
      const presigner = (await store.presigner!())!;
      const at = "Kinds/uploads/late";
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - 1000_000 });
      const late = await presigner.put(at, { seconds: 900, bytes: 3 });
      const inTime = await presigner.put(at, { seconds: 1100, bytes: 3 });
      vi.useRealTimers();
      expect(await put({ method: "PUT", ...late } as Upload, new Uint8Array(3))).toBe(403);
      expect(await put({ method: "PUT", ...inTime } as Upload, new Uint8Array(3))).toBe(200);
      const answers = new StoredAnswers("Kinds", store);
      const url = await answers.put(new Uint8Array(3), "image/png", () => "");
      expect((await fetch(url)).status).toBe(200);
      expect((await fetch(url.replace("image%2Fpng", "text%2Fhtml"))).status).toBe(403);
    });
  });
});
