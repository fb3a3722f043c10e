import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { tandem } from "../../e2e/served-project.ts";

let place: string;
let folder: string;

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "tandem-push-"));
  folder = join(place, "model");
  await mkdir(join(folder, "unet"), { recursive: true });
  await writeFile(join(folder, "unet/a.onnx"), "weights");
  await writeFile(join(folder, ".hidden"), "private");
  await writeFile(join(place, "blob"), "text");
  await symlink(join(place, "blob"), join(folder, "linked.txt"));
});
afterEach(() => rm(place, { recursive: true }));

it("pushes a model with its manifest, which keeps what else it said, and verifies it", async () => {
  await writeFile(join(folder, "manifest.json"), JSON.stringify({ licence: "openrail++", files: [] }));
  const target = join(place, "there");
  const pushed = await tandem("model", "push", folder, pathToFileURL(target).href, "--json");
  expect(pushed.code, pushed.err).toBe(0);
  expect(JSON.parse(pushed.out)).toMatchObject({ files: 2, bytes: 11, sent: ["linked.txt", "unet/a.onnx"] });
  const manifest = JSON.parse(await readFile(join(target, "manifest.json"), "utf8"));
  expect(manifest).toEqual({
    licence: "openrail++",
    files: [
      { path: "linked.txt", size: 4, sha256: "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1" },
      { path: "unet/a.onnx", size: 7, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ],
  });
  expect(await tandem("model", "verify", target)).toMatchObject({
    code: 0,
    out: "2 files, 11 bytes: all are what the manifest lists\n",
  });
  await writeFile(join(target, "unet/a.onnx"), "weightz");
  await rm(join(target, "linked.txt"));
  expect(await tandem("model", "verify", target)).toMatchObject({
    code: 1,
    out: "linked.txt: is missing\nunet/a.onnx: has another sha256\n",
    err: expect.stringContaining("2 of 2 files"),
  });
});

it("says what cannot be pushed, and where to", async () => {
  expect(await tandem("model", "push", folder, "https://example.com/")).toMatchObject({
    code: 1,
    err: expect.stringContaining("s3://bucket/prefix/ and file:///folder/"),
  });
  await writeFile(join(folder, "unet/ä.onnx"), "");
  expect(await tandem("model", "push", folder, pathToFileURL(place).href)).toMatchObject({
    code: 1,
    err: expect.stringContaining("unet/ä.onnx cannot be in a model"),
  });
  expect(await tandem("model", "verify", place)).toMatchObject({
    code: 1,
    err: expect.stringContaining("manifest.json is not there"),
  });
});
