import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { fetchModel } from "#shared/model/fetch-model.ts";
import { MANIFEST } from "#shared/model/manifest.ts";
import { ModelError } from "#shared/model/model-error.ts";
import { writeManifest } from "#shared/model/write-manifest.ts";
import { log } from "#shared/observability/log.ts";
import { type ModelServer, serveModel } from "./model-server.ts";

log.level = "silent";
const MIB = 2 ** 20;
const RANGE = 16 * MIB;
const WEIGHTS = "unet/model.onnx_data";
const SCRIPT = fileURLToPath(new URL("./fetching-process.ts", import.meta.url));

describe("a model's weights", () => {
  const folders: string[] = [];
  const temporary = async (): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), "tandem-model-"));
    folders.push(folder);
    return folder;
  };
  let original: string;
  let model: string;
  let cache: string;
  let server: ModelServer;
  let total: number;

  beforeAll(async () => {
    original = await temporary();
    await mkdir(join(original, "unet"));
    await mkdir(join(original, "text encoder/deep"), { recursive: true });
    await writeFile(join(original, "model_index.json"), '{"a": 1}');
    await writeFile(join(original, WEIGHTS), randomBytes(3 * RANGE + 12_345));
    await writeFile(join(original, "text encoder/deep/merges.txt"), randomBytes(RANGE + 1));
    await writeFile(join(original, "empty.txt"), "");
    const { files } = await writeManifest(original);
    total = files.reduce((sum, { size }) => sum + size, 0);
  });
  beforeEach(async () => {
    model = original;
    cache = await temporary();
    server = await serveModel(original);
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    for (const folder of folders.splice(1)) await rm(folder, { recursive: true, force: true });
  });
  afterAll(() => rm(original, { recursive: true }));

  /** Another model: this one with other bytes in a file, and the manifest as it was. */
  const changed = async (path: string): Promise<string> => {
    const copy = await temporary();
    await cp(original, copy, { recursive: true });
    const file = await open(join(copy, path), "r+");
    await file.write(Buffer.from("changed"), 0, 7, 1000);
    await file.close();
    return copy;
  };
  const expectModel = async (folder: string): Promise<void> => {
    for (const path of [WEIGHTS, "model_index.json", "text encoder/deep/merges.txt", "empty.txt", MANIFEST])
      expect((await readFile(join(folder, path))).equals(await readFile(join(model, path))), path).toBe(true);
    expect((await readdir(folder, { recursive: true })).filter((name) => /\/\.|^\./.test(name))).toEqual([]);
    expect((await readdir(cache)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  };
  const failure = async (options: Partial<Parameters<typeof fetchModel>[0]> = {}): Promise<ModelError> => {
    const error = await fetchModel({ url: server.url, folder: cache, ...options }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ModelError);
    return error as ModelError;
  };
  const start = (url: string) => {
    const child = spawn(process.execPath, [SCRIPT, url, cache], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TANDEM_LOG_LEVEL: "silent" },
    });
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk;
    });
    return { child, done: once(child, "close").then(([code]) => ({ code, out: out.trim() })) };
  };

  it("come in parallel ranges, each byte once, and are there at the next start", async () => {
    server.pieceMs = 1;
    const folder = await fetchModel({ url: server.url, folder: cache });
    await expectModel(folder);
    expect(server.sentBytes).toBe(total);
    expect(server.mostAtOnce).toBeGreaterThan(3);
    expect(server.mostAtOnce).toBeLessThanOrEqual(16);
    server.asked.length = 0;
    expect(await fetchModel({ url: server.url, folder: cache })).toBe(folder);
    expect(server.asked).toEqual([MANIFEST]);
  });

  it("are told of while they come: how many bytes of how many are here", async () => {
    const child = spawn(process.execPath, [SCRIPT, server.url, cache], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, TANDEM_LOG_LEVEL: "info" },
    });
    const written = Buffer.concat(await child.stderr.toArray()).toString();
    const lines = written
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const { url } = server;
    expect(lines.at(0)).toMatchObject({ msg: "fetching the model", url, bytes: total, here: 0 });
    expect(lines.at(-1)).toMatchObject({ msg: "the model is here", url, bytes: total, seconds: expect.any(Number) });
  });

  it("come from a folder, too", async () => {
    await expectModel(await fetchModel({ url: pathToFileURL(original).href, folder: cache }));
  });

  it("are fetched again where a file of them was lost", async () => {
    const folder = await fetchModel({ url: server.url, folder: cache });
    await rm(join(folder, "model_index.json"));
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
  });

  it("go on where a killed process was", async () => {
    server.pieceMs = 2;
    const { child, done } = start(server.url);
    const journal = async (): Promise<number> => {
      const [staging] = (await readdir(cache)).filter((name) => name.endsWith(".partial"));
      const path = join(cache, staging ?? "", "unet", ".model.onnx_data.ranges");
      return (await readFile(path, "utf8").catch(() => "")).split("\n").length - 1;
    };
    await vi.waitFor(async () => expect(await journal()).toBeGreaterThan(1), { timeout: 20_000, interval: 5 });
    child.kill("SIGKILL");
    await done;
    const there = await journal();
    const before = server.sentBytes;
    server.pieceMs = 0;
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
    expect(server.sentBytes - before).toBeLessThanOrEqual(total - (there - 1) * RANGE);
  });

  it("are fetched again where the disk lost what a killed process wrote", async () => {
    server.fault = (path, response) => path === "model_index.json" && Boolean(response.destroy());
    await failure();
    const [staging] = (await readdir(cache)).filter((name) => name.endsWith(".partial"));
    const file = await open(join(cache, staging!, WEIGHTS), "r+");
    await file.write(Buffer.alloc(100), 0, 100, 500);
    await file.close();
    // As if the process had died before it could check the file.
    await writeFile(join(cache, staging!, "unet/.model.onnx_data.ranges"), "0\n");
    server.fault = () => false;
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
  });

  it("are refused with the name of the file whose checksum is wrong, and taken once it is right", async () => {
    const broken = await changed(WEIGHTS);
    const error = await failure({ url: pathToFileURL(broken).href });
    expect(error).toMatchObject({ fault: "checksum", file: WEIGHTS });
    expect(error.message).toContain(WEIGHTS);
    expect((await readdir(cache)).filter((name) => /^[0-9a-f]{16}$/.test(name))).toEqual([]);
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
  });

  it("are fetched once for two processes that want them at the same time", async () => {
    server.pieceMs = 1;
    const both = await Promise.all([start(server.url).done, start(server.url).done]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both[0]!.out).toBe(both[1]!.out);
    await expectModel(both[0]!.out);
    expect(server.sentBytes).toBe(total);
  });

  it("of another manifest go to another folder, and replace what an earlier fetch left half done", async () => {
    const first = await fetchModel({ url: server.url, folder: cache });
    await mkdir(join(cache, "0123456789abcdef.partial"));
    model = await changed(WEIGHTS);
    await writeManifest(model);
    const second = await fetchModel({ url: pathToFileURL(model).href, folder: cache });
    expect(second).not.toBe(first);
    await expectModel(second);
    expect((await stat(first)).isDirectory()).toBe(true);
  });

  it("are asked for again when the server fails, and from where it broke off", async () => {
    const half = RANGE / 2;
    const first = (await readFile(join(original, WEIGHTS))).subarray(0, half);
    const failed = new Set<string>();
    server.fault = (path, response) => {
      const { range } = response.req.headers;
      const key = `${path} ${range}`;
      if (failed.has(key)) return false;
      failed.add(key);
      if (path === WEIGHTS && range === `bytes=0-${RANGE - 1}`) {
        response.writeHead(206, { "content-length": RANGE });
        response.write(first, () => response.destroy());
      } else if (path === WEIGHTS || failed.size % 2 === 0) response.writeHead(503).end();
      else response.destroy();
      return true;
    };
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
    const rest = [...failed].find(
      (key) => key.startsWith(WEIGHTS) && key.endsWith(`-${RANGE - 1}`) && !key.includes("=0-"),
    );
    // What had come by then is not asked for again; the last of it may have been lost with the connection.
    expect(Number(/=(\d+)-/.exec(rest!)![1])).toBeGreaterThan(half / 2);
    expect(server.sentBytes).toBeLessThan(total - half / 2);
  });

  it("are given up after a few tries, saying which file cannot be had", async () => {
    let tries = 0;
    server.fault = (path, response) => {
      if (path !== "model_index.json") return false;
      tries++;
      response.writeHead(503).end();
      return true;
    };
    expect(await failure()).toMatchObject({
      fault: "unreachable",
      file: "model_index.json",
      message: expect.stringContaining("503"),
    });
    expect(tries).toBe(6);
  });

  it.each([
    ["is missing", 404, "missing"],
    ["may not be read", 403, "unreachable"],
    ["is sent whole although a range was asked for", 200, "unreachable"],
  ])("end at once where a file %s", async (_, status, fault) => {
    let tries = 0;
    server.fault = (path, response) => {
      if (path !== "model_index.json") return false;
      tries++;
      response.writeHead(status).end("whole");
      return true;
    };
    expect(await failure()).toMatchObject({ fault, file: "model_index.json" });
    expect(tries).toBe(1);
  });

  it.each([
    ["no file", undefined, "no_manifest", "tandem model push"],
    ["no JSON", "{", "bad_manifest", "not JSON"],
    ["no list", "{}", "bad_manifest", "files"],
    [
      "a path out of the folder",
      JSON.stringify({ files: [{ path: "../x", size: 1, sha256: "0".repeat(64) }] }),
      "bad_manifest",
      "files.0.path",
    ],
    [
      "a file twice",
      JSON.stringify({ files: [1, 2].map(() => ({ path: "x", size: 1, sha256: "0".repeat(64) })) }),
      "bad_manifest",
      "twice",
    ],
    [
      "more than the disk has room for",
      JSON.stringify({ files: [{ path: "x", size: 2 ** 50, sha256: "0".repeat(64) }] }),
      "disk_full",
      "room for",
    ],
  ])("have a manifest that is %s: nothing else is fetched", async (_, text, fault, message) => {
    const folder = await temporary();
    if (text !== undefined) await writeFile(join(folder, MANIFEST), text);
    await using other = await serveModel(folder);
    expect(await failure({ url: other.url })).toMatchObject({ fault, message: expect.stringContaining(message) });
    expect(new Set(other.asked)).toEqual(new Set([MANIFEST]));
  });

  it("have a deadline, and give the folder back to others", async () => {
    server.fault = (path) => path === WEIGHTS;
    expect(await failure({ deadlineSeconds: 0.5 })).toMatchObject({
      fault: "unreachable",
      message: expect.stringContaining("0.5 s"),
    });
    server.fault = () => false;
    await expectModel(await fetchModel({ url: server.url, folder: cache }));
  });

  it("are given up when they are not wanted any more", async () => {
    server.fault = (path) => path === WEIGHTS;
    const unwanted = new AbortController();
    const fetching = fetchModel({ url: server.url, folder: cache, signal: unwanted.signal });
    await vi.waitFor(() => expect(server.asked).toContain(WEIGHTS));
    unwanted.abort(new Error("the container stops"));
    await expect(fetching).rejects.toThrow("the container stops");
  });
});
