import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deploy } from "#infra/deploy.ts";
import type { AwsPeer } from "../../../aws/peer.ts";
import { GRAPHS } from "../../../infra/plan/graphs.ts";
import { planned, SEED } from "../../../infra/plan/planned.ts";
import { synthesize } from "../../../infra/synth.ts";
import { pythonWith } from "../../../python.ts";
import { startMoto } from "../../aws/moto.ts";
import { type ApiCall, apiCalls } from "../api-calls.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const seed = readFileSync(new URL("../../../../config-file.yaml", import.meta.url), "utf8");
const rows: typeof GRAPHS = [["seed", SEED, seed], ...GRAPHS];

interface Told {
  resource: string;
  faults: string[];
}

/** What botocore's models say of calls, and with an endpoint what the server there says. */
async function told(calls: readonly ApiCall[], endpoint?: string): Promise<Told[]> {
  const python = await pythonWith("moto", here("../../aws/moto-requirements.txt"));
  const run = promisify(execFile)(python, [here("../aws_calls.py"), ...(endpoint ? [endpoint] : [])], {
    maxBuffer: 2 ** 26,
  });
  run.child.stdin!.end(calls.map((call) => `${JSON.stringify(call)}\n`).join(""));
  const { stdout } = await run;
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Told);
}

async function callsOf([, services, config, options]: (typeof GRAPHS)[number]): Promise<ApiCall[]> {
  const { plan } = planned(services, config, options);
  for (const { sst } of plan.secrets) vi.stubEnv(`SST_SECRET_${sst}`, "a-secret-of-16-letters");
  const graph = await synthesize(() => deploy(plan), { stage: plan.stage, region: plan.region });
  vi.unstubAllEnvs();
  expect(graph.error).toBeUndefined();
  return apiCalls(graph.resources, plan.region);
}

describe("AWS's own models", () => {
  it.each(rows.map((row) => ({ name: row[0], row })))("take every resource of $name", async ({ row }) => {
    const calls = await callsOf(row);
    expect(calls.length).toBeGreaterThan(60);
    const answers = await told(calls);
    expect(answers).toHaveLength(calls.length);
    expect(answers.filter(({ faults }) => faults.length > 0)).toEqual([]);
  });

  it("refuse what AWS would", async () => {
    const wrong = { resource: "x", service: "ecs", operation: "CreateService", mocked: {} };
    const answers = await told([
      { ...wrong, params: { desiredCount: "three" } },
      { ...wrong, params: { serviceName: "x", launchType: "MOON", colour: "red" } },
      {
        ...wrong,
        service: "lambda",
        operation: "CreateFunction",
        params: { FunctionName: "a b", Role: "x", Timeout: 0 },
      },
    ]);
    expect(answers.map(({ faults }) => faults.length)).toEqual([2, 2, 4]);
  });
});

describe("moto", () => {
  let moto: AwsPeer;
  beforeAll(async () => {
    moto = await startMoto();
  });
  afterAll(() => moto?.stop());

  it("creates the seed's deployment, resource by resource", async () => {
    const answers = await told(await callsOf(rows[0]!), moto.endpoint);
    expect(answers.filter(({ faults }) => faults.length > 0)).toEqual([]);
  });
});
