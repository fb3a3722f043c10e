import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { recordName, STORED_PLAN } from "#infra/deployments/record-names.ts";
import { tandem } from "../../e2e/served-project.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const DIFF = ["plan", ROOT, "--region", "us-east-1", "--diff"];
const NAME = "deployment-name";
const STAGE = "there";

/** SSM and S3 of an account with one deployment. Moto has the same tests, in test/peers. */
let plan: string;
const account = createServer(async (request, response) => {
  const [asked, known] = [await text(request), recordName(NAME, STAGE)];
  const record = {
    version: 1,
    name: NAME,
    stage: STAGE,
    region: "us-east-1",
    entry: "ControlNet",
    url: "",
    store: "s",
  };
  if (request.url === `/s/${STORED_PLAN}?x-id=GetObject`) response.end(plan);
  else if (JSON.parse(asked).Name === known)
    response.end(JSON.stringify({ Parameter: { Name: known, Value: JSON.stringify(record) } }));
  else response.writeHead(400).end(JSON.stringify({ __type: "ParameterNotFound" }));
});

beforeAll(async () => {
  await once(account.listen(0, "127.0.0.1"), "listening");
  plan = (await tandem("plan", ROOT, "--region", "us-east-1", "--stage", STAGE, "--json")).out;
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => account.close());

function reachable(): void {
  const endpoint = `http://127.0.0.1:${(account.address() as AddressInfo).port}`;
  const env = { AWS_ENDPOINT_URL: endpoint, AWS_ENDPOINT_URL_S3: endpoint, AWS_ACCESS_KEY_ID: "a" };
  for (const [name, value] of Object.entries({ ...env, AWS_SECRET_ACCESS_KEY: "b" })) vi.stubEnv(name, value);
}

describe("tandem plan --diff without a file", () => {
  it("compares with what the stage was deployed with", async () => {
    reachable();
    expect((await tandem(...DIFF, "--stage", STAGE)).out).toBe("nothing would change\n");
    const more = await tandem(...DIFF, "--stage", STAGE, "--scaling-max", "SDXLControlNetService=3");
    expect(more.out).toContain("~ services.SDXLControlNetService.scaling.maxReplicas: 2 -> 3\n");
  });

  it("says that nothing is deployed yet, and what would be made", async () => {
    reachable();
    const { code, out, err } = await tandem(...DIFF, "--stage", "fresh");
    expect(err).toContain("deployment-name is not deployed at stage fresh in us-east-1 yet: all of it would be made\n");
    expect(out).toContain(
      "+ services.SDXLControlNetService: gpu on gpu.l4.1\n+ services.ControlNet: function on cpu.1\n",
    );
    expect(out).not.toMatch(/^[-~]/m);
    expect(code).toBe(0);
  });

  it("says what can be done where the account cannot be asked", async () => {
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"]) vi.stubEnv(name, undefined);
    vi.stubEnv("HOME", "/nowhere");
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
    const { code, err } = await tandem(...DIFF, "--stage", STAGE);
    expect(err).toMatch(
      /the plan that deployment-name was deployed with cannot be read: .*credentials.*; --diff FILE/i,
    );
    expect(code).toBe(1);
  });
});
