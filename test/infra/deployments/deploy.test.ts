import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deployment } from "#infra/deployments/deployment.ts";
import { mergeConfig, readSource } from "#infra/deployments/source.ts";
import { runSst } from "#infra/deployments/sst.ts";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { ConfigError } from "#shared/config/faults.ts";
import { tandem } from "../../e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A project that deploys this one's services, and a program in SST's place that writes down what it was asked. */
let project: string;
let program: string;
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "tandem-deploy-"));
  program = join(project, "sst");
  const files = {
    "bentofile.yaml": "service: service:ControlNet\n",
    "service.ts": `export * from ${JSON.stringify(`${ROOT}service.ts`)};\n`,
    "sst.config.ts": "export default {};\n",
    "config-file.yaml":
      "name: gallery\nservices:\n  SDXLControlNetService:\n    instance_type: gpu.l4.1\n    scaling: { min_replicas: 0, max_replicas: 2 }\n",
    sst: `#!/usr/bin/env node
const { mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const { TANDEM_PLAN, TANDEM_SOURCE, TANDEM_NAME, TANDEM_REGION, FAIL, SLOW } = process.env;
const json = (path) => path && JSON.parse(readFileSync(path, "utf8"));
writeFileSync("asked.json", JSON.stringify({
  args: process.argv.slice(2), cwd: process.cwd(), node: process.version,
  plan: json(TANDEM_PLAN), source: json(TANDEM_SOURCE), name: TANDEM_NAME, region: TANDEM_REGION,
}));
mkdirSync(".sst", { recursive: true });
writeFileSync(".sst/outputs.json", JSON.stringify({ url: "https://x.lambda-url.us-east-1.on.aws/", store: "s3://x" }));
if (SLOW) setTimeout(() => {}, 60_000);
else process.exit(FAIL ? 3 : 0);
`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(project, name), text);
  await chmod(program, 0o755);
  await mkdir(join(project, "functions/handlers"), { recursive: true });
  const handlers = ["controlnet", "controlnet-queue", "controlnet-dead-letters", "sdxl-controlnet-dead-letters"];
  for (const name of handlers) await writeFile(join(project, "functions/handlers", `${name}.ts`), "export {};\n");
});
afterAll(() => rm(project, { recursive: true }));

interface Asked {
  args: string[];
  cwd: string;
  node: string;
  plan: DeploymentPlan;
  source: unknown;
  name: string;
  region: string;
}
async function asked(): Promise<Asked> {
  return JSON.parse(await readFile(join(project, "asked.json"), "utf8")) as Asked;
}

describe("deployment.create", () => {
  it("has SST spell the plan of the project, in its folder, on Tandem's own Node", async () => {
    const { plan, outputs } = await deployment.create({ bento: project, stage: "test", region: "eu-west-1", program });
    const sst = await asked();
    expect(sst.args).toEqual(["deploy", "--stage", "test"]);
    expect(sst.cwd).toBe(project);
    expect(sst.node).toBe(process.version);
    expect(sst.plan).toEqual(JSON.parse(JSON.stringify(plan)));
    expect([sst.plan.name, sst.plan.stage, sst.plan.region]).toEqual(["gallery", "test", "eu-west-1"]);
    expect([sst.name, sst.region]).toEqual(["gallery", "eu-west-1"]);
    expect(outputs).toMatchObject({ url: "https://x.lambda-url.us-east-1.on.aws/" });
  });

  it("takes a config file and flags, and tells SST what the plan was made from", async () => {
    const configFile = join(project, "other.yaml");
    await writeFile(configFile, "name: other\nenvs:\n  - { name: A, value: 0123 }\n");
    const flags = { instanceType: ["SDXLControlNetService=gpu.a10g.1"], env: ["B=2"] };
    await deployment.create({ bento: project, configFile, region: "us-east-1", flags, program });
    const { plan, source } = await asked();
    expect(plan.name).toBe("other");
    expect(plan.services.map(({ instanceType }) => instanceType)).toContain("gpu.a10g.1");
    expect(plan.services[0]!.environment).toMatchObject({ B: "2" });
    const config = { name: "other", envs: [{ name: "A", value: "0123" }] };
    expect(source).toMatchObject({ config, flags });
  });

  it("refuses a faulty file with all its faults before SST is started", async () => {
    await rm(join(project, "asked.json"), { force: true });
    const configFile = join(project, "bad.yaml");
    await writeFile(configFile, "services:\n  ControlNet:\n    scaling: { min_replica: 1 }\n  Nobody: {}\n");
    const refused = deployment.create({ bento: project, configFile, region: "us-east-1", program });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(/bad\.yaml:3:16: .*min_replicas[\s\S]*bad\.yaml:4:3/);
    await expect(asked()).rejects.toThrow("ENOENT");
  });
});

describe("SST", () => {
  const run = (environment: Record<string, string>, timeout = 30) =>
    runSst({ folder: project, command: ["deploy"], stage: "test", environment, timeout, program, quiet: true });

  it("that fails, fails the deployment", async () => {
    await expect(run({ FAIL: "1" })).rejects.toThrow("sst deploy failed (exit code 3)");
  });

  it("that takes too long is interrupted", async () => {
    await expect(run({ SLOW: "1" }, 1)).rejects.toThrow("took over 1 s and was interrupted; --timeout");
  });

  it("is not started where the folder has no sst.config.ts", async () => {
    const folder = join(project, "functions");
    await expect(
      runSst({ folder, command: ["deploy"], stage: "test", environment: {}, timeout: 1, program }),
    ).rejects.toThrow(/functions\/sst\.config\.ts is missing/);
  });
});

describe("update", () => {
  const flags = { scalingMax: ["2"], env: ["A=1"] };

  it("merges mappings, replaces lists, and puts new flags after old ones", () => {
    const before = { config: { name: "a", services: { X: { envs: [1, 2], scaling: { min_replicas: 1 } } } }, flags };
    const after = {
      config: { services: { X: { envs: [3], scaling: { max_replicas: 4 } }, Y: {} } },
      flags: { scalingMax: ["3"], name: "b" },
    };
    expect(mergeConfig(before, after)).toEqual({
      config: { name: "a", services: { X: { envs: [3], scaling: { min_replicas: 1, max_replicas: 4 } }, Y: {} } },
      flags: { scalingMin: [], scalingMax: ["2", "3"], instanceType: [], env: ["A=1"] },
    });
  });

  it("takes no file but the one that is named; a first deployment takes the project's", async () => {
    expect((await readSource(project, undefined, flags, "gallery")).config).toEqual({});
    expect((await readSource(project, undefined)).config).toMatchObject({ name: "gallery" });
  });
});

describe("the commands", () => {
  it("do not remove anything without --yes", async () => {
    const { code, err } = await tandem("deployment", "terminate", "gallery", "--stage", "test");
    expect(code).toBe(2);
    expect(err).toContain("say --yes");
  });

  it("say that no region is set where AWS's settings have none", async () => {
    for (const name of ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) vi.stubEnv(name, undefined);
    vi.stubEnv("HOME", project);
    const { code, err } = await tandem("deployment", "list");
    vi.unstubAllEnvs();
    expect([code, err]).toEqual([1, expect.stringContaining("no AWS region is set: give --region")]);
  });

  it("update takes no other name, and no file that is not named", async () => {
    const { code, err } = await tandem("deployment", "update", "gallery", "--name", "other");
    expect([code, err]).toEqual([2, expect.stringContaining("unknown option '--name'")]);
    expect((await tandem("deployment", "update", "--help")).out).not.toContain("default: config-file.yaml");
  });

  it.each([
    [["--stage", "no stage"], /stage "no stage" must be/],
    [["--scaling-max", "Nobody=2"], /no service Nobody is deployed/],
  ])("deploy %s is used wrongly", async (args, message) => {
    const { code, err } = await tandem("deploy", project, ...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
