import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preparePlatform } from "#infra/platform/prepare.ts";
import { aPlan } from "./a-plan.ts";
import { PREPARED_IN_MS, ROOT } from "./platform.ts";
import { bundleApp, bundleRun } from "./sst-bundle.ts";
import type { GraphResource } from "./synth.ts";

const run = promisify(execFile);

let folder: string;

beforeAll(async () => {
  await preparePlatform();
  folder = await mkdtemp(join(tmpdir(), "tandem-config-"));
}, PREPARED_IN_MS);

afterAll(() => rm(folder, { recursive: true }));

async function appOf(stage: string, env: Record<string, string> = {}): Promise<Record<string, unknown>> {
  await using bundle = await bundleApp(stage);
  const { stdout } = await run(process.execPath, ["--no-warnings", bundle.file], { env: { ...process.env, ...env } });
  const line = stdout.split("\n").find((text) => text.startsWith("~j"));
  return JSON.parse(line?.slice(2) ?? "{}");
}

/** What the stage `ada` of `gallery` registers. */
async function deployed(env: Record<string, string>): Promise<{ resources: GraphResource[]; stderr: string }> {
  const paths = { home: folder, root: ROOT, work: folder, platform: join(ROOT, ".sst/platform") };
  const app = { name: "gallery", stage: "ada", removal: "remove", providers: { aws: { region: "us-east-1" } } };
  await using bundle = await bundleRun(app, { command: "deploy", paths, state: { version: {} } });
  const args = [join(ROOT, "test/infra/pulumi-host.ts"), bundle.file, "gallery", "ada", "us-east-1"];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: folder, env: { ...process.env, ...env } });
  return { resources: JSON.parse(stdout.trim().split("\n").at(-1) ?? ""), stderr };
}

describe("sst.config.ts, bundled as SST does", () => {
  it("tells SST the deployment's name, the platform's provider version and tags", async () => {
    const platform = JSON.parse(await readFile(join(ROOT, ".sst/platform/package.json"), "utf8"));
    expect(await appOf("ada", { TANDEM_REGION: "eu-west-1" })).toEqual({
      name: "deployment-name",
      home: "aws",
      removal: "remove",
      protect: false,
      providers: {
        aws: {
          version: platform.dependencies["@pulumi/aws"],
          region: "eu-west-1",
          defaultTags: { tags: { "tandem:deployment": "deployment-name", "tandem:stage": "ada" } },
        },
      },
    });
  });

  it("retains and protects production", async () => {
    expect(await appOf("production")).toMatchObject({ removal: "retain", protect: true });
  });

  it("has no import that SST refuses", async () => {
    await writeFile(join(folder, "sst.config.ts"), 'import "./app.ts"; export default { app: () => ({}) };');
    await expect(bundleApp("ada", join(folder, "sst.config.ts"))).rejects.toThrow("top level imports");
  });

  it("spells the plan in Pulumi's language host", async () => {
    const plan = join(folder, "plan.json");
    await writeFile(plan, JSON.stringify(aPlan()));
    const { resources } = await deployed({ TANDEM_PLAN: plan });
    expect(resources.map(({ name }) => name)).toContain("StoreBucket");
  });
});
