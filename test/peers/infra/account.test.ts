import { fileURLToPath } from "node:url";
import {
  CreateClusterCommand,
  CreateServiceCommand,
  ECSClient,
  RegisterTaskDefinitionCommand,
} from "@aws-sdk/client-ecs";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateQueueCommand, GetQueueUrlCommand, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openAccount } from "#infra/deployments/account.ts";
import { deployment } from "#infra/deployments/deployment.ts";
import { recordName } from "#infra/deployments/record-names.ts";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { loadPlan } from "#infra/plan/load-plan.ts";
import type { AwsPeer } from "../../aws/peer.ts";
import { tandem } from "../../e2e/served-project.ts";
import { startMoto } from "../aws/moto.ts";

/** What `infra/resources` makes, as far as it is asked for, on a server of moto's. */
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const STAGE = "test";
let moto: AwsPeer;
let plan: DeploymentPlan;
beforeAll(async () => {
  moto = await startMoto();
  vi.stubEnv("AWS_ENDPOINT_URL", moto.endpoint);
  vi.stubEnv("AWS_ENDPOINT_URL_S3", moto.endpoint);
  vi.stubEnv("AWS_REGION", "us-east-1");
  vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "testtest");
  ({ plan } = await loadPlan({ project: ROOT, stage: STAGE, region: "us-east-1" }));

  const s3 = new S3Client({ forcePathStyle: true });
  await s3.send(new CreateBucketCommand({ Bucket: "store" }));
  const put = (Key: string, value: unknown) =>
    s3.send(new PutObjectCommand({ Bucket: "store", Key, Body: JSON.stringify(value) }));
  await put("tandem/plan.json", plan);
  await put("tandem/source.json", { config: { name: plan.name }, flags: {} });

  const ssm = new SSMClient({});
  const record = { version: 1, stage: STAGE, region: "us-east-1", entry: "ControlNet", url: "https://x.on.aws/" };
  const remember = (name: string, store: string) => {
    const Value = JSON.stringify({ ...record, name, store });
    return ssm.send(new PutParameterCommand({ Name: recordName(name, STAGE), Type: "String", Value }));
  };
  await remember(plan.name, "store");
  // More than SSM gives at once.
  for (let i = 0; i < 12; i++) await remember(`other-${String(i).padStart(2, "0")}`, "none");

  const sqs = new SQSClient({});
  for (const { queue } of plan.services)
    if (queue)
      for (const QueueName of [queue.physicalName, queue.priorityPhysicalName, queue.deadLetterPhysicalName])
        await sqs.send(new CreateQueueCommand({ QueueName }));
  const gpu = plan.services[0]!;
  const send = async (QueueName: string) => {
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "x" }));
  };
  await send(gpu.queue!.physicalName);
  await send(gpu.queue!.priorityPhysicalName);
  await send(gpu.queue!.deadLetterPhysicalName);

  const ecs = new ECSClient({});
  // The cluster is the service's own, of its name (infra/resources/cluster.ts).
  const serviceName = "task" in gpu ? gpu.task.physicalName : "";
  await ecs.send(new CreateClusterCommand({ clusterName: serviceName }));
  const containerDefinitions = [{ name: "x", image: "x", memory: 64 }];
  await ecs.send(new RegisterTaskDefinitionCommand({ family: "x", containerDefinitions }));
  await ecs.send(new CreateServiceCommand({ cluster: serviceName, serviceName, taskDefinition: "x", desiredCount: 2 }));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await moto?.stop();
});

describe("deployments of an account", () => {
  it("are listed, all pages of them, by name", async () => {
    const names = (await deployment.list()).map(({ name }) => name);
    expect(names).toHaveLength(13);
    expect(names).toEqual([...names].sort());
    expect(names).toContain(plan.name);
  });

  it("are found with their plan; replicas and messages are counted, what is not there is missing", async () => {
    const status = await deployment.get(plan.name, { stage: STAGE });
    expect(status.plan).toEqual(JSON.parse(JSON.stringify(plan)));
    expect(status.services).toEqual([
      {
        name: "SDXLControlNetService",
        state: "starting",
        reason: expect.anything(),
        replicas: { running: 0, desired: 2 },
        queue: { waiting: 2, inWork: 0, givenUp: 1 },
      },
      { name: "ControlNet", state: "missing", queue: { waiting: 0, inWork: 0, givenUp: 0 } },
    ]);
  });

  it("have the plan that tandem plan --diff compares with", async () => {
    const same = ["plan", ROOT, "--stage", STAGE, "--region", "us-east-1", "--diff"];
    expect((await tandem(...same)).out).toBe("nothing would change\n");
    const { out } = await tandem(...same, "--scaling-max", "SDXLControlNetService=3");
    expect(out).toContain("~ services.SDXLControlNetService.scaling.maxReplicas: 2 -> 3\n");
    const none = await tandem("plan", ROOT, "--stage", "never", "--region", "us-east-1", "--diff");
    expect([none.code, none.err]).toEqual([0, expect.stringContaining(`${plan.name} is not deployed at stage never`)]);
    expect(none.out).toContain("+ services.ControlNet: function on cpu.1\n");
  });

  it("are named where the one that is asked for is not there", async () => {
    await expect(deployment.get("gallery", { stage: STAGE })).rejects.toThrow(
      /no deployment gallery at stage test: there are .*other-00 \(stage test\)/,
    );
  });

  it("say what they were made from, unless sst itself deployed them", async () => {
    await using account = await openAccount(undefined);
    const known = await account.find(plan.name, STAGE);
    expect(await account.source(known)).toEqual({ config: { name: plan.name }, flags: {} });
    await new S3Client({ forcePathStyle: true }).send(new CreateBucketCommand({ Bucket: "empty" }));
    const bare = { ...known, store: "empty" };
    await expect(account.source(bare)).rejects.toThrow("was deployed by sst itself");
    await expect(account.plan(bare)).rejects.toThrow("s3://empty/tandem/plan.json is missing");
  });
});
