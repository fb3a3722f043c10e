import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeleteObjectCommand, HeadObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { fetchModel } from "#shared/model/fetch-model.ts";
import { pushModel } from "#shared/model/push-model.ts";
import { log } from "#shared/observability/log.ts";
import { type AwsPeer, awsEnv, s3Client } from "../../aws/peer.ts";
import { startVersityGw } from "./versitygw.ts";

log.level = "silent";

const URL = "s3://models/sdxl/v1/";
let peer: AwsPeer;
let place: string;
let folder: string;

beforeAll(async () => {
  peer = await startVersityGw();
  Object.assign(process.env, awsEnv(peer.endpoint));
  await ensureBucket("models");
  place = await mkdtemp(join(tmpdir(), "tandem-s3-model-"));
  folder = join(place, "model");
  await mkdir(join(folder, "unet"), { recursive: true });
  // Three parts, of 64 MiB and less.
  await writeFile(join(folder, "unet/model.onnx_data"), randomBytes(130 * 2 ** 20));
  await writeFile(join(folder, "model_index.json"), "{}");
  await writeFile(join(folder, "empty.txt"), "");
});
afterAll(async () => {
  await peer?.stop();
  await rm(place, { recursive: true, force: true });
});

test("a model goes to a bucket, in parts where it is large, and only what is new at the second time", async () => {
  const files = ["empty.txt", "model_index.json", "unet/model.onnx_data"];
  expect((await pushModel(folder, URL)).sent).toEqual(files);
  const client = s3Client(peer.endpoint);
  const head = await client.send(new HeadObjectCommand({ Bucket: "models", Key: "sdxl/v1/unet/model.onnx_data" }));
  expect(head.ContentLength).toBe(130 * 2 ** 20);
  expect(head.ETag).toMatch(/-3"$/);
  expect((await pushModel(folder, URL)).sent).toEqual([]);
  await writeFile(join(folder, "model_index.json"), '{"new": 1}');
  expect((await pushModel(folder, URL)).sent).toEqual(["model_index.json"]);
  client.destroy();
});

test("and comes back from it as it was", async () => {
  const there = await fetchModel({ url: URL, folder: join(place, "cache") });
  for (const path of ["unet/model.onnx_data", "model_index.json", "empty.txt", "manifest.json"])
    expect((await readFile(join(there, path))).equals(await readFile(join(folder, path))), path).toBe(true);
});

test("what is missing in the bucket is named", async () => {
  const folder = join(place, "other cache");
  await expect(fetchModel({ url: "s3://models/nothing/", folder })).rejects.toMatchObject({ fault: "no_manifest" });
  await expect(fetchModel({ url: "s3://nowhere-at-all/x/", folder })).rejects.toMatchObject({ fault: "no_manifest" });
  const client = s3Client(peer.endpoint);
  await client.send(new DeleteObjectCommand({ Bucket: "models", Key: "sdxl/v1/model_index.json" }));
  client.destroy();
  await expect(fetchModel({ url: URL, folder })).rejects.toMatchObject({ fault: "missing", file: "model_index.json" });
});
