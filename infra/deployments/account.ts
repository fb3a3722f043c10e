import { ECSClient } from "@aws-sdk/client-ecs";
import { LambdaClient } from "@aws-sdk/client-lambda";
import { GetObjectCommand, NoSuchKey, S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { SSMClient } from "@aws-sdk/client-ssm";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import { readPlanText } from "../plan/plan-file.ts";
import { type DeploymentStatus, serviceStatus } from "./deployment-status.ts";
import { STORED_PLAN, STORED_SOURCE } from "./record-names.ts";
import { DeploymentRegistry, type KnownDeployment } from "./registry.ts";
import type { Source } from "./source.ts";
import { versionStatuses } from "./version-status.ts";

const DEADLINE_MS = 30_000;

/** An AWS account in one region, asked for deployments. */
export interface Account extends AsyncDisposable {
  readonly registry: DeploymentRegistry;
  /** @throws Error where there is no such deployment, naming those that are there. */
  find(name: string, stage: string): Promise<KnownDeployment>;
  plan(deployment: KnownDeployment): Promise<DeploymentPlan>;
  /** @throws Error where it was deployed without `tandem deploy`, so that nobody knows what from. */
  source(deployment: KnownDeployment): Promise<Source>;
  status(deployment: KnownDeployment): Promise<DeploymentStatus>;
}

/**
 * Opens the account that the SDK's credentials are of.
 * @param region by default the one that the SDK finds.
 * @throws Error where it finds none.
 */
export async function openAccount(region: string | undefined): Promise<Account> {
  const settings = region === undefined ? {} : { region };
  const clients = {
    ssm: new SSMClient(settings),
    // Emulators have one host for all buckets.
    s3: new S3Client({ ...settings, forcePathStyle: process.env.AWS_ENDPOINT_URL_S3 !== undefined }),
    ecs: new ECSClient(settings),
    lambda: new LambdaClient(settings),
    sqs: new SQSClient(settings),
  };
  await clients.ssm.config.region().catch((cause: unknown) => {
    throw new Error("no AWS region is set: give --region, or set AWS_REGION or the profile's", { cause });
  });
  const registry = new DeploymentRegistry(clients.ssm);
  const object = async ({ store }: KnownDeployment, key: string): Promise<string | undefined> => {
    try {
      const command = new GetObjectCommand({ Bucket: store, Key: key });
      const { Body } = await clients.s3.send(command, { abortSignal: AbortSignal.timeout(DEADLINE_MS) });
      return await Body?.transformToString();
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
      throw error;
    }
  };
  const plan = async (deployment: KnownDeployment): Promise<DeploymentPlan> => {
    const where = `s3://${deployment.store}/${STORED_PLAN}`;
    const text = await object(deployment, STORED_PLAN);
    if (text === undefined) throw new Error(`${where} is missing: deploy ${deployment.name} again`);
    return readPlanText(text, where);
  };
  return {
    registry,
    plan,
    find: async (name, stage) => {
      const found = await registry.get(name, stage);
      if (found) return found;
      const others = (await registry.list()).map((other) => `${other.name} (stage ${other.stage})`);
      const hint = others.length > 0 ? `there are ${others.join(", ")}` : "there is none in this region";
      throw new Error(`no deployment ${name} at stage ${stage}: ${hint}`);
    },
    source: async (deployment) => {
      const text = await object(deployment, STORED_SOURCE);
      if (text !== undefined) return JSON.parse(text) as Source;
      throw new Error(`${deployment.name} was deployed by sst itself: change config-file.yaml and deploy again`);
    },
    status: async (deployment) => {
      const deployed = await plan(deployment);
      const beside = deployed.canary?.versions.flatMap((version) => version.services) ?? [];
      const [services, versions] = await Promise.all([
        Promise.all([...deployed.services, ...beside].map((service) => serviceStatus(service, clients))),
        versionStatuses(deployed, clients.lambda, (key) => object(deployment, key)),
      ]);
      return { deployment, plan: deployed, services, versions };
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of Object.values(clients)) client.destroy();
    },
  };
}
