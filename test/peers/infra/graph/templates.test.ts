import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deploy } from "#infra/deploy.ts";
import { resourcesOf } from "../../../infra/graph.ts";
import { GRAPHS } from "../../../infra/plan/graphs.ts";
import { planned, SEED } from "../../../infra/plan/planned.ts";
import { synthesize } from "../../../infra/synth.ts";
import { pythonWith } from "../../../python.ts";

const seed = readFileSync(new URL("../../../../config-file.yaml", import.meta.url), "utf8");
const rows: typeof GRAPHS = [["seed", SEED, seed], ...GRAPHS];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-templates-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What cfn-lint, with CloudFormation's own schemas, says of templates: the rule, and where. */
async function faultsOf(templates: readonly string[]): Promise<string[]> {
  const python = await pythonWith("cfn-lint", fileURLToPath(new URL("../cfn-lint-requirements.txt", import.meta.url)));
  const files = templates.map((_, index) => join(folder, `${index}.json`));
  await Promise.all(files.map((file, index) => writeFile(file, templates[index]!)));
  const args = ["--format", "json", "--regions", "us-east-1", "--", ...files];
  const said = await new Promise<string>((resolve, reject) => {
    // It ends with a number that says of which kinds its faults are.
    execFile(join(dirname(python), "cfn-lint"), args, (error, out, err) =>
      out ? resolve(out) : reject(error ?? new Error(err)),
    );
  });
  const faults = JSON.parse(said) as { Rule: { Id: string }; Location: { Path: string[] }; Message: string }[];
  return faults.map(({ Rule, Location, Message }) => `${Rule.Id} ${Location.Path?.join(".")}: ${Message}`);
}

async function templatesOf([, services, config, options]: (typeof GRAPHS)[number]): Promise<string[]> {
  const { plan } = planned(services, config, options);
  for (const { sst } of plan.secrets) vi.stubEnv(`SST_SECRET_${sst}`, "a-secret-of-16-letters");
  const graph = await synthesize(() => deploy(plan), { stage: plan.stage, region: plan.region });
  vi.unstubAllEnvs();
  expect(graph.error).toBeUndefined();
  return resourcesOf(graph, "aws:cloudformation/stack:Stack").map(({ inputs }) =>
    // Ids in AWS's form.
    String(inputs.templateBody)
      .replace(/<id of \w+Subnet(\d)>/g, "subnet-000000$1")
      .replace(/<id of \w+Group>/g, "sg-00000001"),
  );
}

/** CloudFormation's schema of the release that cfn-lint has; botocore's model has the property, in aws-api.test.ts. */
const NOT_KNOWN_YET =
  /^E3002 Resources\.Function\.Properties\.AcceleratorConfig: Additional properties are not allowed \('AcceleratorConfig' was unexpected\)$/;

describe("CloudFormation's own schemas", () => {
  it.each(rows.map((row) => ({ name: row[0], row })))("take every template of $name", async ({ row }) => {
    const templates = await templatesOf(row);
    expect(templates.length).toBeGreaterThan(0);
    const faults = await faultsOf(templates);
    const accelerators = templates.filter((template) => template.includes('"AcceleratorConfig"'));
    expect(faults).toEqual(accelerators.map(() => expect.stringMatching(NOT_KNOWN_YET)));
  });

  it("refuse what CloudFormation would", async () => {
    const [template] = (await templatesOf(rows.find(([name]) => name === "gpu-function")!)).filter((one) =>
      one.includes('"AcceleratorConfig"'),
    );
    const broken = template!
      .replace('"MaxVCpuCount"', '"MaxVcpuCount"')
      .replace('"PackageType":"Image"', '"PackageType":"Docker"')
      .replace('"Size":10240', '"Size":100');
    const faults = await faultsOf([broken]);
    expect(faults.map((fault) => fault.split(" ")[0]).sort()).toEqual(["E3002", "E3002", "E3030", "E3034"]);
  });
});
