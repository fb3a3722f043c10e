import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ObjectStore } from "#shared/store/object-store.ts";

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();
const bytesOf = (value: string): Uint8Array[] => [Buffer.from(value)];

/** What every object store must do. */
export function storeSuite(name: string, open: () => Promise<ObjectStore>): void {
  describe(name, () => {
    let store: ObjectStore;
    let prefix: string;
    beforeAll(async () => {
      store = await open();
      prefix = `suite/${randomUUID()}/`;
    });
    afterAll(() => store?.close());

    test("an object is read as it was written, whatever its chunks", async () => {
      const whole = randomBytes(70_001);
      const chunks = [whole.subarray(0, 3), new Uint8Array(0), whole.subarray(3, 65_539), whole.subarray(65_539)];
      expect(await store.put(`${prefix}chunks`, chunks)).toBe(true);
      expect(whole.equals((await store.get(`${prefix}chunks`))!)).toBe(true);
      expect(await store.has(`${prefix}chunks`)).toBe(true);
    });

    test("an object may be empty", async () => {
      await store.put(`${prefix}empty/none`, []);
      await store.put(`${prefix}empty/one`, [new Uint8Array(0)]);
      for (const key of ["none", "one"]) {
        expect(await store.has(`${prefix}empty/${key}`)).toBe(true);
        expect((await store.get(`${prefix}empty/${key}`))?.byteLength).toBe(0);
      }
    });

    test("20 MB in two chunks", async () => {
      const halves = [randomBytes(12_000_000), randomBytes(8_000_000)];
      await store.put(`${prefix}large`, halves);
      expect(Buffer.concat(halves).equals((await store.get(`${prefix}large`))!)).toBe(true);
    });

    test.each([1, 100, 5000, 300_000])("%i bytes come in memory of their own", async (size) => {
      await store.put(`${prefix}own-${size}`, [randomBytes(size)]);
      const [one, other] = await Promise.all([store.get(`${prefix}own-${size}`), store.get(`${prefix}own-${size}`)]);
      expect([one!.byteOffset, one!.buffer.byteLength]).toEqual([0, size]);
      expect(one!.buffer).not.toBe(other!.buffer);
    });

    test("the last writer wins", async () => {
      for (const value of ["first, and longer", "second"])
        expect(await store.put(`${prefix}over`, bytesOf(value))).toBe(true);
      expect(text(await store.get(`${prefix}over`))).toBe("second");
    });

    test("of eight that write where nothing is, one does", async () => {
      const values = Array.from({ length: 8 }, (_, i) => `writer ${i}`);
      const key = `${prefix}race`;
      const won = await Promise.all(values.map((value) => store.put(key, bytesOf(value), { ifAbsent: true })));
      expect(won.filter(Boolean)).toHaveLength(1);
      expect(text(await store.get(key))).toBe(values[won.indexOf(true)]);
      expect(await store.put(key, bytesOf("late"), { ifAbsent: true })).toBe(false);
      expect(text(await store.get(key))).toBe(values[won.indexOf(true)]);
      await store.delete(key);
      expect(await store.put(key, bytesOf("again"), { ifAbsent: true })).toBe(true);
    });

    test("what is not there", async () => {
      for (const key of [`${prefix}none`, `${prefix}none/at/all`]) {
        expect(await store.get(key)).toBeUndefined();
        expect(await store.has(key)).toBe(false);
        await store.delete(key);
      }
      expect(await store.list(`${prefix}none/`)).toEqual([]);
    });

    test("a deleted object is gone", async () => {
      await store.put(`${prefix}gone/a`, bytesOf("a"));
      await store.delete(`${prefix}gone/a`);
      expect(await store.has(`${prefix}gone/a`)).toBe(false);
      expect(await store.get(`${prefix}gone/a`)).toBeUndefined();
      expect(await store.list(`${prefix}gone/`)).toEqual([]);
    });

    test("keys are listed in order of their characters, from where one says", async () => {
      const names = ["0", "A", "Z/z", "a-b/c", "a.b", "a/b-c", "a/b/e", "a/c/d/e", "a0", "aB", "a_", "ab", "b"];
      const keys = names.map((key) => `${prefix}order/${key}`);
      await Promise.all(keys.toReversed().map((key) => store.put(key, bytesOf(key))));
      expect(await store.list(`${prefix}order/`)).toEqual(keys);
      for (const [i, key] of keys.entries())
        expect(await store.list(`${prefix}order/`, key)).toEqual(keys.slice(i + 1));
      expect(await store.list(`${prefix}order/`, `${prefix}order/a/bb`)).toEqual(
        keys.filter((key) => key > `${prefix}order/a/bb`),
      );
      expect(await store.list(`${prefix}order/a/`)).toEqual(keys.filter((key) => key.startsWith(`${prefix}order/a/`)));
    });

    test("a list has a thousand keys, the next one the rest", async () => {
      const keys = Array.from(
        { length: 1003 },
        (_, i) => `${prefix}page/${i % 7}/${String(i).padStart(4, "0")}`,
      ).sort();
      const left = keys.values();
      const writers = Array.from({ length: 16 }, async () => {
        for (const key of left) await store.put(key, bytesOf("x"));
      });
      await Promise.all(writers);
      const page = await store.list(`${prefix}page/`);
      expect(page).toEqual(keys.slice(0, 1000));
      expect(await store.list(`${prefix}page/`, page.at(-1))).toEqual(keys.slice(1000));
    });

    test.each(["", "/", "/etc/passwd", "../up", "a/../../up", "a/./b", "a//b", "a/", "a b", "a\\b", "~x", "é", "a\0b"])(
      "%j is no key",
      async (key) => {
        await expect(store.put(key, bytesOf("x"))).rejects.toThrow(TypeError);
        await expect(store.get(key)).rejects.toThrow(TypeError);
        await expect(store.has(key)).rejects.toThrow(TypeError);
        await expect(store.delete(key)).rejects.toThrow(TypeError);
      },
    );

    test.each(["a", "/", "../", "a//"])("%j is no prefix", async (key) => {
      await expect(store.list(key)).rejects.toThrow(TypeError);
    });

    test("an aborted signal ends everything with its reason", async () => {
      const signal = AbortSignal.abort(new Error("enough"));
      const key = `${prefix}aborted`;
      await expect(store.put(key, bytesOf("x"), { signal })).rejects.toBe(signal.reason);
      expect(await store.has(key)).toBe(false);
      await store.put(key, bytesOf("x"));
      await expect(store.get(key, signal)).rejects.toBe(signal.reason);
      await expect(store.has(key, signal)).rejects.toBe(signal.reason);
      await expect(store.list(prefix, "", signal)).rejects.toBe(signal.reason);
      await expect(store.delete(key, signal)).rejects.toBe(signal.reason);
      expect(await store.has(key)).toBe(true);
    });

    test("a put that is aborted on its way leaves the old object or the new one", async () => {
      const key = `${prefix}half-way`;
      await store.put(key, bytesOf("old"));
      const controller = new AbortController();
      const reason = new Error("enough");
      const put = store.put(key, [Buffer.alloc(48_000_000, "n")], { signal: controller.signal });
      setImmediate(() => controller.abort(reason));
      await expect(put).rejects.toBe(reason);
      expect([3, 48_000_000]).toContain((await store.get(key))!.byteLength);
    });

    test("an object that is written over and over is never seen half-written", async () => {
      const key = `${prefix}whole`;
      const version = (i: number): Uint8Array[] => [
        Buffer.alloc(500_000 + i * 1000, i),
        Buffer.alloc(500_000 + i * 1000, i),
      ];
      await store.put(key, version(0));
      let writing = true;
      const writer = (async () => {
        for (let i = 1; i <= 20; i++) await store.put(key, version(i));
        writing = false;
      })();
      const reader = async (): Promise<number> => {
        let seen = 0;
        for (; writing || seen === 0; seen++) {
          const bytes = (await store.get(key))!;
          const i = bytes[0]!;
          expect(Buffer.concat(version(i)).equals(bytes)).toBe(true);
        }
        return seen;
      };
      const [first, second] = await Promise.all([reader(), reader(), writer]);
      expect(Math.min(first, second)).toBeGreaterThan(0);
      expect((await store.get(key))![0]).toBe(20);
    });
  });
}
