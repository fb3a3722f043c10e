import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Upload } from "#shared/http/uploads.ts";
import { type LambdaHandler, lambdaHandler } from "#shared/lambda/handler.ts";
import { log } from "#shared/observability/log.ts";
import { DiskStore } from "#shared/store/disk-store.ts";
import { door, patternOf } from "./fixture-service.ts";
import { payloadV2 } from "./http-events.ts";
import { lambdaContext } from "./lambda-context.ts";

log.level = "silent";

const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-uploads-"));
const store = new DiskStore(folder);
afterAll(() => rm(folder, { recursive: true, force: true }));
/** Behind a URL that answers in one piece, 6 MB at most. */
const handler: LambdaHandler = lambdaHandler(door, { storeUrl: `file:${folder}` });

interface Result {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
  isBase64Encoded: boolean;
}

const post = async (path: string, body: string | FormData, headers: Record<string, string> = {}): Promise<Result> => {
  const request = new Request(`http://x${path}`, { method: "POST", body, headers });
  const event = payloadV2({
    method: "POST",
    path,
    headers: Object.fromEntries(request.headers),
    body: new Uint8Array(await request.arrayBuffer()),
  });
  return (await handler(event, lambdaContext())) as Result;
};
const json = (path: string, input: object) => post(path, JSON.stringify(input), { "content-type": "application/json" });
const bytesOf = ({ body, isBase64Encoded }: Result) => Buffer.from(body, isBase64Encoded ? "base64" : "utf8");
const fetched = async ({ statusCode, headers }: Result): Promise<Buffer | undefined> => {
  expect(statusCode).toBe(303);
  const bytes = await store.get(`Door/answers/${headers.location!.slice("answers/".length)}`);
  return bytes && Buffer.from(bytes);
};

/** Announces an upload through the function and puts its bytes where the bucket would have them. */
async function uploaded(bytes: Uint8Array): Promise<string> {
  const result = await json("/uploads", { bytes: bytes.byteLength, content_type: "image/png" });
  expect(result.statusCode).toBe(201);
  const { upload } = JSON.parse(result.body) as Upload;
  await store.put(`Door/uploads/${upload.slice("upload:".length)}`, [bytes]);
  return upload;
}

describe.each([6_000_000, 40_000_000])("a picture of %i bytes", (size) => {
  const picture = patternOf(size);

  test("comes and goes by the store over HTTP, as JSON and in a form", async () => {
    const image = await uploaded(picture);
    const form = new FormData();
    form.append("image", image);
    for (const result of [await json("/picture", { image }), await post("/picture", form)])
      expect(Buffer.compare((await fetched(result))!, picture)).toBe(0);
  });

  test("is named the same by Invoke", async () => {
    const raw = await uploaded(picture);
    expect(await handler({ api: "measure", input: { raw } }, lambdaContext())).toEqual({ output: size });
    const { stored } = (await handler({ api: "picture", input: { image: raw } }, lambdaContext())) as {
      stored: string;
    };
    const output = JSON.parse(Buffer.from((await store.get(`Door/calls/${stored}/output`))!).toString()) as string;
    expect(Buffer.compare(Buffer.from(output.split(",")[1]!, "base64"), picture)).toBe(0);
  });
});

test("a picture of 4 MB needs no store", async () => {
  const picture = patternOf(4_000_000) as Uint8Array<ArrayBuffer>;
  const form = new FormData();
  form.append("image", new Blob([picture], { type: "image/png" }), "a.png");
  const result = await post("/picture", form);
  expect([result.statusCode, Buffer.compare(bytesOf(result), picture)]).toEqual([200, 0]);
});

test("an answer goes as it is as long as Lambda takes it, and is never refused", async () => {
  expect((await json("/raw", { length: 4_700_000 })).statusCode).toBe(200);
  for (const length of [4_703_000, 4_706_304, 4_730_000])
    expect((await fetched(await json("/raw", { length })))?.byteLength).toBe(length);
});

describe("Invoke", () => {
  test("says of an upload that cannot be used which field names it", async () => {
    const { upload } = JSON.parse((await json("/uploads", {})).body) as Upload;
    for (const [raw, code] of [
      [upload, "CONFLICT"],
      ["upload:nothing", "NOT_FOUND"],
    ])
      expect(await handler({ api: "measure", input: { raw } }, lambdaContext())).toEqual({
        error: expect.objectContaining({ code, detail: [{ path: ["raw"], message: expect.any(String) }] }),
      });
  });

  test("without a store says what to set", async () => {
    const answer = await lambdaHandler(door)({ api: "measure", input: { raw: "upload:x" } }, lambdaContext());
    expect(answer).toEqual({ error: expect.objectContaining({ error: expect.stringContaining("TANDEM_STORE") }) });
  });
});
