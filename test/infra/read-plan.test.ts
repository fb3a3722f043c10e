import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { readPlan } from "#infra/read-plan.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tandem-plan-"));
  await mkdir(join(root, "bin"));
  await writeFile(join(root, "package.json"), '{ "type": "module" }');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

it("is what `tandem plan --json` says, in a process that may load TypeScript", async () => {
  await writeFile(join(root, "args.ts"), "export const args: string[] = process.argv.slice(2);");
  await writeFile(
    join(root, "bin/tandem.js"),
    'import { args } from "../args.ts"; console.log(JSON.stringify({ name: args.join(" ") }));',
  );
  const args = `plan ${root} --stage ada --region eu-west-1 --json`;
  expect(await readPlan(root, "ada", "eu-west-1")).toEqual({ name: args });
  vi.stubEnv("TANDEM_CONFIG", "small.yaml");
  expect(await readPlan(root, "ada", "eu-west-1")).toEqual({ name: `${args} --file ${join(root, "small.yaml")}` });
});

it("is refused with what `tandem plan` complains of", async () => {
  await writeFile(join(root, "bin/tandem.js"), 'console.error("config-file.yaml:3:1: no"); process.exit(1);');
  await expect(readPlan(root, "ada", "eu-west-1")).rejects.toThrow(/^config-file.yaml:3:1: no$/);
});

it("is the one that a file holds, where a deployment was shown it", async () => {
  await writeFile(join(root, "plan.json"), '{ "name": "shown" }');
  vi.stubEnv("TANDEM_PLAN", join(root, "plan.json"));
  expect(await readPlan(root, "ada", "eu-west-1")).toEqual({ name: "shown" });
});
