import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBucket } from "#shared/aws/ensure-bucket.ts";
import { S3Store } from "#shared/aws/s3-store.ts";
import { openStore } from "#shared/store/open-store.ts";
import { type AwsPeer, awsEnv, s3Client } from "../../aws/peer.ts";
import { storeSuite } from "../../store/store.suite.ts";
import { startMoto } from "./moto.ts";
import { startVersityGw } from "./versitygw.ts";

describe.each([
  ["moto", startMoto],
  ["versitygw", startVersityGw],
])("%s", (name, start) => {
  let peer: AwsPeer;
  beforeAll(async () => {
    peer = await start();
    Object.assign(process.env, awsEnv(peer.endpoint));
    await ensureBucket("suite");
  });
  afterAll(() => peer?.stop());

  storeSuite(`${name}, a bucket`, () => openStore("s3://suite"));
  storeSuite(`${name}, below a prefix`, () => openStore("s3://suite/some/place/"));

  test("a prefix is part of the objects' names", async () => {
    const [below, whole] = [await openStore("s3://suite/some/prefix"), await openStore("s3://suite")];
    await below.put("a/b", [Buffer.from("x")]);
    expect(await below.list("")).toEqual(["a/b"]);
    expect(await whole.list("some/prefix/")).toEqual(["some/prefix/a/b"]);
    await below.close();
    await whole.close();
  });

  test("a bucket that is there stays as it is", async () => {
    const store = await openStore("s3://suite");
    await store.put("kept", [Buffer.from("x")]);
    await ensureBucket("suite");
    expect(await store.has("kept")).toBe(true);
    await store.close();
  });

  test("a bucket that is not there is named", async () => {
    const client = s3Client(peer.endpoint);
    const store = new S3Store({ bucket: "nowhere", client });
    const error = { code: "INTERNAL", message: expect.stringMatching(/^bucket nowhere, a\/b: NoSuchBucket/) };
    await expect(store.put("a/b", [Buffer.from("x")])).rejects.toMatchObject(error);
    await expect(store.get("a/b")).rejects.toMatchObject(error);
    client.destroy();
  });
});
