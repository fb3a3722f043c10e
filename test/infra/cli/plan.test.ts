import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { loadPlan } from "#infra/plan/load-plan.ts";
import { readPlanText } from "#infra/plan/plan-file.ts";
import { tandem } from "../../e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-plan-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

describe("tandem plan", () => {
  it("prints the plan for people, and what its author should know on standard error", async () => {
    const { code, out, err } = await tandem("plan", ROOT, "--region", "us-east-1");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^deployment-name, stage dev, us-east-1\. ControlNet has the URL, which is open to everybody\.$/m,
    );
    expect(out).toMatch(
      /^SDXLControlNetService +ECS, 1 GPU, 1 worker +gpu\.l4\.1 \(g6\.xlarge\) +1024 MiB +1 to 2 +700 s +SQS +yes$/m,
    );
    expect(out).toMatch(/^ControlNet +function +cpu\.1 +2048 MB +8 warm, 40 at most +600 s +URL +yes$/m);
    expect(out).toMatch(/^ {2}ControlNet -> SDXLControlNetService by SQS$/m);
    expect(out).toMatch(/^ {2}SDXLControlNetService: about \d+ s \(boot \d+, image \d+, model \d+\)/m);
    expect(out).toMatch(/^ {4}aws service-quotas request-service-quota-increase .* L-DB2E81BA --desired-value 16 /m);
    expect(out).toMatch(/^ +all +\$\d+\.\d\d +\$\d+\.\d\d$/m);
    expect(out).toMatch(/^Cost of 1,000 pictures$/m);
    expect(err).toContain("config-file.yaml:11:21: warning: services.SDXLControlNetService.scaling.min_replicas:");
  });

  it("prints JSON that is the plan and nothing else, with flags over the file", async () => {
    const { out } = await tandem(
      ...["plan", ROOT, "--stage", "pr-7", "--region", "eu-west-1", "-n", "other", "--json"],
      ...["--scaling-min", "0", "--scaling-max", "SDXLControlNetService=5", "--env", "ControlNet=X=1"],
    );
    const plan = JSON.parse(out) as DeploymentPlan;
    expect(plan).toMatchObject({ name: "other", stage: "pr-7", region: "eu-west-1" });
    const [sdxl, entry] = plan.services;
    expect(sdxl?.scaling).toMatchObject({ minReplicas: 1, maxReplicas: 5 });
    expect(entry).toMatchObject({ scaling: { minReplicas: 0 }, environment: { X: "1" } });
  });

  it("tells what is different from a plan in a file", async () => {
    const before = await written("before.json", (await tandem("plan", ROOT, "--json")).out);
    const changed = ["plan", ROOT, "--scaling-max", "SDXLControlNetService=3"];
    const { out } = await tandem(...changed, "--diff", before);
    expect(out).toContain("~ services.SDXLControlNetService.scaling.maxReplicas: 2 -> 3\n");
    expect(JSON.parse((await tandem(...changed, "--diff", before, "--json")).out)).toContainEqual({
      kind: "changed",
      path: "services.SDXLControlNetService.scaling.maxReplicas",
      before: 2,
      after: 3,
    });
    expect((await tandem("plan", ROOT, "--diff", before)).out).toBe("nothing would change\n");
    const wrong = await tandem("plan", ROOT, "--diff", await written("wrong.json", "{}"));
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining("is no plan of this version of Tandem")]);
  });

  it("prints the versions of a canary with their share, and what they have of their own", async () => {
    const file = await written(
      "canary.yaml",
      `services:
  SDXLControlNetService: { instance_type: gpu.l4.1, scaling: { min_replicas: 0 } }
canary:
  route_type: header
  route_by: X-User
  versions:
    lean: { weight: 20, services: { ControlNet: { instance_type: cpu.4 } } }
    next: { weight: 5, services: { SDXLControlNetService: { instance_type: gpu.a10g.1 } } }
`,
    );
    const { code, out } = await tandem("plan", ROOT, "-f", file, "--region", "us-east-1");
    expect(code).toBe(0);
    expect(out).toContain("Versions; calls are split by the header x-user, and a version that fails gets no more\n");
    expect(out).toMatch(/^ {2}main +75 % +all$/m);
    expect(out).toMatch(/^ {2}lean +20 % +ControlNet$/m);
    expect(out).toMatch(/^ {2}next +5 % +SDXLControlNetService, ControlNet$/m);
    expect(out).toMatch(/^Services of version lean\n.*\n {2}ControlNet +function +cpu\.4 +8192 MB .* main +yes$/m);
    expect(out).toMatch(/^ {2}SDXLControlNetService +ECS, 1 GPU, 1 worker +gpu\.a10g\.1 .* SQS +yes$/m);
    expect(out).toMatch(/SDXLControlNetService \(next\) +0 to 1 x g5\.xlarge/);
  });

  it("ends with 1 and every fault of a plan that cannot be, and with 2 for flags that cannot", async () => {
    const file = await written(
      "bad.yaml",
      "services:\n  ControlNet: { instance_type: cpu.8 }\n  SDXLControlNetService: { instance_type: gpu.l5.1 }\n",
    );
    const bad = await tandem("plan", ROOT, "-f", file);
    expect([bad.code, bad.out]).toEqual([1, ""]);
    expect(bad.err).toMatch(
      /bad\.yaml has 2 faults\n.*bad\.yaml:2:32: .*\n.*bad\.yaml:3:43: .*did you mean gpu\.l4\.1/,
    );
    const stage = await tandem("plan", ROOT, "--stage", "a stage");
    expect([stage.code, stage.err]).toEqual([2, expect.stringContaining("1 to 30 letters, digits and hyphens")]);
    const flag = await tandem("plan", ROOT, "--scaling-min", "Nobody=1");
    expect([flag.code, flag.err]).toEqual([2, expect.stringContaining("no service Nobody is deployed")]);
  });
});

describe("loading a plan", () => {
  const env = {};

  it("takes the region that is asked for, then the file's, then the environment's, and says which it made up", async () => {
    const regionOf = async (cluster: string, more: { region?: string; env?: NodeJS.ProcessEnv }) => {
      const configFile = await written("region.yaml", cluster);
      const { plan, warnings } = await loadPlan({ project: ROOT, configFile, stage: "dev", env, ...more });
      return [plan.region, warnings.filter(({ path }) => path === "cluster").map(({ message }) => message)];
    };
    expect(await regionOf("cluster: eu-north-1", {})).toEqual(["eu-north-1", []]);
    expect(await regionOf("cluster: eu-north-1", { region: "eu-west-1" })).toEqual([
      "eu-west-1",
      ["has no effect: the region asked for is eu-west-1"],
    ]);
    expect(await regionOf("name: a", { env: { AWS_REGION: "us-west-2", AWS_DEFAULT_REGION: "sa-east-1" } })).toEqual([
      "us-west-2",
      [],
    ]);
    expect(await regionOf("name: a", { env: { AWS_DEFAULT_REGION: "sa-east-1" } })).toEqual(["sa-east-1", []]);
    expect(await regionOf("name: a", {})).toEqual(["us-east-1", ["no region is named: this is a plan for us-east-1"]]);
  });

  it("plans the folder that the file names, with defaults where there is no config file", async () => {
    const configFile = await written("elsewhere.yaml", `bento: ${join(ROOT, "test/e2e/elsewhere")}\n`);
    const handlers = join(folder, "bare");
    await mkdir(handlers);
    await writeFile(join(handlers, "bentofile.yaml"), 'service: "service:ControlNet"\n');
    await writeFile(join(handlers, "service.ts"), `export * from ${JSON.stringify(join(ROOT, "service.ts"))};\n`);
    await expect(loadPlan({ configFile, stage: "dev", env })).rejects.toThrow(/handlers\/.*is missing/);
    await expect(loadPlan({ project: handlers, stage: "dev", env })).rejects.toThrow(/config-file\.yaml has 4 faults/);
  });

  it("plans a canary version's folder with its own services and handlers", async () => {
    const project = join(folder, "split");
    for (const root of [project, join(project, "next")]) {
      await mkdir(join(root, "functions/handlers"), { recursive: true });
      await writeFile(join(root, "bentofile.yaml"), 'service: "service:ControlNet"\n');
      await writeFile(join(root, "service.ts"), `export * from ${JSON.stringify(join(ROOT, "service.ts"))};\n`);
      const names = ["controlnet", "controlnet-queue", "controlnet-dead-letters", "sdxl-controlnet-dead-letters"];
      for (const name of [...names, "canary-rollback"])
        await writeFile(join(root, `functions/handlers/${name}.ts`), "export {};\n");
    }
    const load = async (bento: string) => {
      const configFile = await written(
        "split.yaml",
        `services: { SDXLControlNetService: { instance_type: gpu.l4.1 } }\ncanary:\n  route_type: random\n  versions:\n    next: { bento: ${bento}, weight: 5 }\n`,
      );
      return loadPlan({ project, configFile, stage: "dev", env });
    };
    const { plan } = await load("./next");
    expect(plan.canary).toMatchObject({
      rollback: { handler: "functions/handlers/canary-rollback.handler" },
      versions: [
        {
          services: [
            { task: { image: { context: "./next" } } },
            { function: { handler: "next/functions/handlers/controlnet.handler" } },
          ],
        },
      ],
    });
    await expect(load(".")).rejects.toThrow(
      "split.yaml:5:20: canary.versions.next.bento: is the main version's own folder; leave it out",
    );
    await expect(load("../next")).rejects.toThrow("is not below the main version's folder; put the version's project");
    await writeFile(
      join(project, "next", "bentofile.yaml"),
      'service: "service:ControlNet"\nenvs: [{ name: KEY }]\nexclude: [x]\n',
    );
    await expect(load("next")).rejects.toThrow(
      "canary.versions.next.bento: its bentofile.yaml wants KEY; give it in the version's envs, or as a secret",
    );
    const { warnings } = await load('next, envs: [{ name: KEY, value: "1" }]');
    expect(warnings.map(({ file }) => file)).toContain(join(project, "next", "bentofile.yaml"));
    await expect(load("gone")).rejects.toThrow("gone/bentofile.yaml is missing; name the folder of a project");
  });

  it("counts variables that flags give as given", async () => {
    const project = join(folder, "wanting");
    await mkdir(project);
    await writeFile(join(project, "bentofile.yaml"), 'service: "service:ControlNet"\nenvs: [{ name: KEY }]\n');
    await writeFile(join(project, "service.ts"), `export * from ${JSON.stringify(join(ROOT, "service.ts"))};\n`);
    await expect(loadPlan({ project, stage: "dev", env })).rejects.toThrow(/KEY is wanted by bentofile\.yaml/);
    await expect(loadPlan({ project, stage: "dev", env, flags: { env: ["KEY=1"] } })).rejects.not.toThrow(
      /KEY is wanted/,
    );
  });
});

describe("stored plans", () => {
  it("of another kind are refused", () => {
    expect(() => readPlanText("nonsense", "x.json")).toThrow(/x\.json is no JSON/);
    expect(() => readPlanText('{"version": 2, "services": []}', "x.json")).toThrow(/x\.json is no plan/);
  });
});
