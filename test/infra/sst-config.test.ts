import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preparePlatform } from "#infra/platform/prepare.ts";
import { startCliServer } from "./cli-server.ts";
import { Pending } from "./pending.ts";
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

/** What the stage `ada` registers. */
async function deployed(env: Record<string, string> = {}): Promise<GraphResource[]> {
  const paths = { home: folder, root: ROOT, work: folder, platform: join(ROOT, ".sst/platform") };
  const app = { name: "gallery", stage: "ada", removal: "remove", providers: { aws: { region: "us-east-1" } } };
  await using cli = await startCliServer("us-east-1", { bundle: false, pending: new Pending() });
  await using bundle = await bundleRun(app, { command: "deploy", paths, state: { version: {} } });
  const args = [join(ROOT, "test/infra/pulumi-host.ts"), bundle.file, "gallery", "ada", "us-east-1"];
  const options = { cwd: folder, env: { ...process.env, ...env, SST_SERVER: cli.url }, maxBuffer: 32 * 1024 * 1024 };
  const { stdout } = await run(process.execPath, args, options);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
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
          defaultTags: {
            tags: {
              owner: "tandem-team",
              project: "gallery",
              "tandem:deployment": "deployment-name",
              "tandem:stage": "ada",
            },
          },
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

  it("plans this project and spells the plan in Pulumi's language host, whose loader refuses its modules", async () => {
    const names = (await deployed()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["StoreBucket", "ControlNetUrl", "SDXLControlNetServiceService"]));
  });

  it("builds a function's image with what SST has for it", async () => {
    await writeFile(
      join(folder, "lambda.yaml"),
      "services: { SDXLControlNetService: { instance_type: gpu.l4.1, aws: { backend: lambda } } }",
    );
    const resources = await deployed({ TANDEM_CONFIG: relative(ROOT, join(folder, "lambda.yaml")) });
    const image = resources.find(({ type }) => type === "docker-build:index:Image");
    expect(image?.inputs.dockerfile).toEqual({ location: join(ROOT, "gpu-worker/Dockerfile.lambda") });
    const stack = resources.find(({ name }) => name === "SDXLControlNetServiceFunction");
    expect(stack?.inputs.templateBody).toContain('"AcceleratorConfig":{"AcceleratorMemorySize":24}');
  });
});
