import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readServeConfig } from "#shared/serve/serve-config.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(text: string) {
  const path = join(folder, "config-file.yaml");
  await writeFile(path, text);
  return (await readServeConfig(path)).accessAuthorization;
}

it.each([
  ["true", "bearer"],
  ["false", "none"],
  ["yes", "bearer"],
  ["Off", "none"],
  ['"true"', "bearer"],
  ["bearer", "bearer"],
  ["none", "none"],
  ["iam", "iam"],
])("access_authorization: %s is %s", async (text, authorization) => {
  expect(await read(`access_authorization: ${text}`)).toBe(authorization);
});

it("is none where the file says nothing of it", async () => {
  expect(await read("envs: []")).toBe("none");
  expect(await read("")).toBe("none");
});

it.each(["nope", "1", "[]", "", "basic"])("access_authorization: %s is refused", async (text) => {
  await expect(read(`access_authorization: ${text}`)).rejects.toThrow(
    /config-file\.yaml:1:\d+: access_authorization: must be true or bearer, false or none, or iam/,
  );
});
