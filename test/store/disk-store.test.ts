import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, utimesSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { DiskStore } from "#shared/store/disk-store.ts";
import { openStore } from "#shared/store/open-store.ts";
import { storeSuite } from "./store.suite.ts";

const SCRIPT = fileURLToPath(new URL("./writing-process.ts", import.meta.url));
const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tandem-store-"));
  folders.push(folder);
  return folder;
}
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

storeSuite("DiskStore", () => openStore(pathToFileURL(newFolder()).href));

describe("DiskStore", () => {
  let store: DiskStore;
  beforeEach(() => {
    store = new DiskStore(newFolder());
  });
  const put = (key: string): Promise<boolean> => store.put(key, [Buffer.from(key)]);
  const age = (path: string): void => utimesSync(join(store.folder, path), 1_000_000, 1_000_000);

  test("a process killed in the middle of writing leaves no half object, and what it leaves is swept", async () => {
    const unfinished = join(store.folder, "~unfinished");
    mkdirSync(unfinished);
    for (let kills = 0; kills < 3; kills++) {
      const left = readdirSync(unfinished).length;
      const child = fork(SCRIPT, [store.folder]);
      await once(child, "message");
      while (readdirSync(unfinished).length === left) await new Promise(setImmediate);
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    const keys = await store.list("");
    expect(keys.length).toBeGreaterThan(15);
    for (const key of keys) {
      const bytes = (await store.get(key))!;
      expect([1_000_000, 2_000_000]).toContain(bytes.byteLength);
      expect(Buffer.alloc(bytes.byteLength, bytes[0]).equals(bytes)).toBe(true);
    }
    for (const name of readdirSync(unfinished)) age(`~unfinished/${name}`);
    expect(await store.sweep(86_400_000)).toBe(0);
    expect(readdirSync(unfinished)).toEqual([]);
    expect(await store.list("")).toEqual(keys);
  });

  test("unfinished objects are no objects", async () => {
    await put("a/b");
    expect(existsSync(join(store.folder, "~unfinished"))).toBe(true);
    expect(await store.list("")).toEqual(["a/b"]);
  });

  test("sweep deletes what is old, and folders that it empties", async () => {
    for (const key of ["old/a/b", "old/c", "mixed/old", "mixed/new"]) await put(key);
    for (const key of ["old/a/b", "old/c", "mixed/old"]) age(key);
    expect(await store.sweep(86_400_000)).toBe(3);
    expect(await store.list("")).toEqual(["mixed/new"]);
    expect(existsSync(join(store.folder, "old"))).toBe(false);
    expect(await store.sweep(86_400_000)).toBe(0);
  });

  test("sweep of a folder that is not there", async () => {
    expect(await new DiskStore(join(store.folder, "none")).sweep(0)).toBe(0);
  });

  test("puts go on while everything around them is swept", async () => {
    const swept = store;
    let writing = true;
    const sweeper = (async () => {
      let count = 0;
      while (writing) count += await swept.sweep(-1000);
      return count;
    })();
    try {
      for (let i = 0; i < 300; i++) {
        expect(await store.put(`calls/${i % 3}/deep/er/value`, [Buffer.from(`${i}`)])).toBe(true);
        await store.put(`calls/${i}/once`, [Buffer.from(`${i}`)], { ifAbsent: true });
      }
    } finally {
      writing = false;
    }
    expect(await sweeper).toBeGreaterThan(0);
    await store.put("calls/last/value", [Buffer.from("last")]);
    expect(Buffer.from((await store.get("calls/last/value"))!).toString()).toBe("last");
  });

  test("a key cannot be another key's folder", async () => {
    await put("a/b");
    for (const ifAbsent of [false, true])
      for (const key of ["a", "a/b/c"])
        await expect(store.put(key, [], { ifAbsent })).rejects.toMatchObject({
          code: "INTERNAL",
          message: expect.stringContaining(`cannot write ${key}`),
        });
    expect([await store.get("a"), await store.has("a"), await store.get("a/b/c")]).toEqual([
      undefined,
      false,
      undefined,
    ]);
    await store.delete("a");
    expect(await store.list("")).toEqual(["a/b"]);
    expect(readdirSync(join(store.folder, "~unfinished"))).toEqual([]);
  });
});

describe("openStore", () => {
  test.each(["file:FOLDER", "file://FOLDER"])("%s", async (url) => {
    const folder = newFolder();
    const store = await openStore(url.replace("FOLDER", folder));
    expect(store).toBeInstanceOf(DiskStore);
    expect((store as DiskStore).folder).toBe(folder);
  });

  test.each(["", "/tmp/x", "file:x", "file://host/x", "s3:", "s3://", "s3:///x", "https://bucket.s3.amazonaws.com"])(
    "%j is no store",
    async (url) => {
      await expect(openStore(url)).rejects.toThrow(
        new TypeError(`${JSON.stringify(url)} is no store: file:///folder and s3://bucket/prefix are`),
      );
    },
  );
});
