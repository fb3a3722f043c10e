import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { OnLoadResult, OnResolveResult, Plugin } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { bundleHandlers, HANDLERS } from "#functions/build.ts";
import { preparePlatform } from "#infra/platform/prepare.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** What SST (4.17.1, pkg/runtime/node/plugin.go) starts, and asks about every module, line by line. */
const RUNNER = `${ROOT}.sst/platform/functions/nodejs-runtime/plugin.mjs`;
const controlnet = { controlnet: HANDLERS.controlnet! };
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "tandem-plugins-"));
  folders.push(made);
  return made;
}

/** The plugin that SST gives esbuild for a file of plugins. */
function sstPlugin(path: string): Plugin & Disposable {
  const child = spawn(process.execPath, [RUNNER, path], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  const pending = new Map<number, (value: object) => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, value } = JSON.parse(line) as { id: number; value: object };
    pending.get(id)!(value);
    pending.delete(id);
  });
  let count = 0;
  const ask = (command: string, value: object): Promise<object> => {
    const id = count++;
    const { promise, resolve } = Promise.withResolvers<object>();
    pending.set(id, resolve);
    child.stdin.write(`${JSON.stringify({ id, command, value })}\n`);
    return promise;
  };
  return {
    name: "nodejs-plugin",
    setup(build) {
      build.onResolve({ filter: /.*/ }, (args) => ask("resolve", args) as Promise<OnResolveResult>);
      build.onLoad({ filter: /.*/ }, (args) => ask("load", args) as Promise<OnLoadResult>);
    },
    [Symbol.dispose]: () => void child.kill(),
  };
}

test("SST's runner of plugins bundles a handler as we do", async () => {
  await preparePlatform();
  const [ours, theirs] = [folder(), folder()];
  using plugin = sstPlugin(`${ROOT}functions/bundle-plugins.mjs`);
  await bundleHandlers(ours, controlnet);
  await bundleHandlers(theirs, controlnet, [plugin]);
  // A file's name has a hash of what is in it.
  expect((await readdir(theirs)).sort()).toEqual((await readdir(ours)).sort());
});
