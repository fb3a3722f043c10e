import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { appOf } from "#infra/app.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tandem-app-"));
});

afterEach(() => rm(root, { recursive: true }));

async function nameOf(files: Record<string, string>, env: Record<string, string> = {}): Promise<string> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
  return appOf(root, "ada", env).name;
}

it("is named by TANDEM_NAME, config-file.yaml, bentofile.yaml or the entry, in this order", async () => {
  expect(await nameOf({})).toBe("tandem");
  expect(await nameOf({ "bentofile.yaml": 'service: "service:Gallery"' })).toBe("Gallery");
  expect(await nameOf({ "bentofile.yaml": 'service: "service:Gallery"\nname: pictures' })).toBe("pictures");
  expect(await nameOf({ "config-file.yaml": "name: small" })).toBe("small");
  expect(await nameOf({ "big.yaml": "name: big" }, { TANDEM_CONFIG: "big.yaml" })).toBe("big");
  expect(await nameOf({}, { TANDEM_NAME: "given", TANDEM_CONFIG: "big.yaml" })).toBe("given");
});

it("has a name that SST takes", async () => {
  expect(await nameOf({ "bentofile.yaml": "service: services.gallery:Gallery_2" })).toBe("Gallery-2");
  expect(await nameOf({ "bentofile.yaml": "name: 2 cats/dogs" })).toBe("cats-dogs");
});

it("leaves a broken file to the plan, which can say what is wrong", async () => {
  expect(await nameOf({ "config-file.yaml": 'name: "small', "bentofile.yaml": "[]" })).toBe("tandem");
});

it("takes TANDEM_REGION for the region, and lets SST find one otherwise", () => {
  expect(appOf(root, "ada", { TANDEM_REGION: "eu-west-1", AWS_REGION: "us-west-2" }).region).toBe("eu-west-1");
  expect(appOf(root, "ada", { AWS_REGION: "us-west-2" }).region).toBeUndefined();
});
