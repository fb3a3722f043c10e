import { mkdtempSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { bundle } from "#shared/serve/lambda/bundle.ts";
import { runtimeClient } from "#shared/serve/lambda/runtime-client.ts";
import { tandem } from "../../e2e/served-project.ts";

// What needs AWS's runtime client is in test/peers/lambda.

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tandem-as-lambda-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("serve --as lambda names the handler that a project lacks, and its lines", async () => {
  const { code, err } = await tandem("serve", `${ROOT}test/e2e/elsewhere`, "--as", "lambda");
  expect(code).toBe(1);
  expect(err).toContain("functions/handlers/caller.ts is missing, the handler of Caller as a function; write into it:");
  expect(err).toContain('lambdaHandler(deployable(Caller, () => import("../services/caller.ts")))');
});

test("a function's dependencies are in other processes", async () => {
  const { code, err } = await tandem("serve", "--as", "lambda", "--transport", "local");
  expect([code, err]).toEqual([2, expect.stringContaining("--transport local is one process")]);
  expect((await tandem("serve", "--as", "function")).code).toBe(2);
});

test("without a compiler for the runtime client, what to install is said", async () => {
  const folder = emptyFolder();
  await writeFile(join(folder, "g++"), "");
  const client = runtimeClient({ folder: join(folder, "lambda"), env: { PATH: folder } });
  await expect(client).rejects.toThrow(
    "there is no cmake, no make, no xz, no python3: apt-get install cmake g++ make xz-utils python3",
  );
});

test("a project bundles its handlers itself", async () => {
  const folder = emptyFolder();
  await expect(bundle(folder, [])).rejects.toThrow("functions/build.ts must export bundleHandlers");
});

test("call takes one place where the service is", async () => {
  const both = await tandem("call", "ControlNet.edges", "--url", "http://127.0.0.1:1", "--function", "x");
  expect([both.code, both.err]).toEqual([2, expect.stringContaining("give one of them")]);
  expect((await tandem("call", "ControlNet.edges", "--function", "a b")).code).toBe(2);
});
