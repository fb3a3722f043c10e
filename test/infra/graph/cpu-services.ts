/** CPU services of a project with a real plan, deployed without what only containers need. */
import { z } from "zod";
import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";
import { type PlanInput, planDeployment } from "#infra/plan/plan.ts";
import type { Deployment } from "#infra/resources/deployed.ts";
import { createEntryUrl } from "#infra/resources/entry-url.ts";
import { createDeadLetterFunction, createFunctionService } from "#infra/resources/functions.ts";
import { createQueues } from "#infra/resources/queues.ts";
import { createSecrets } from "#infra/resources/secrets.ts";
import { parseBentofile, parseConfigFile } from "#shared/config/load.ts";
import { api, type Service, service } from "#shared/service/contract.ts";
import { type SynthesizeOptions, synthesize } from "../synth.ts";

const apis = { run: api({ input: z.object({ text: z.string() }), output: z.string() }) };

export const Painter = service("Painter", { apis, resources: { gpu: 1 } });
export const Words = service("Words", { apis });
/** An entry with a GPU service and a CPU service behind it. */
export const Studio = service("Studio", { apis, dependencies: [Words, Painter] });

interface PlanOptions {
  readonly services?: readonly Service[];
  readonly stage?: string;
  readonly handlers?: PlanInput["handlers"];
}

/** All handlers of a service, by convention. */
function handlersOf(name: string) {
  const file = `functions/handlers/${name.toLowerCase()}`;
  return { url: `${file}.ts`, queue: `${file}-queue.ts`, deadLetters: `${file}-dead-letters.ts` };
}

/** The plan of a config file, for services of which each has all its handlers. */
export function planOf(
  yaml: string,
  { services = [Painter, Words, Studio], stage = "test", handlers = handlersOf }: PlanOptions = {},
): DeploymentPlan {
  return planDeployment({
    services,
    bentofile: parseBentofile('service: "service:Studio"').config,
    configFile: parseConfigFile(yaml),
    stage,
    region: "us-east-1",
    handlers,
  }).plan;
}

/** Runs what a deployment does with the functions of a plan. Secrets are `<value of Name>` unless given. */
export async function deployFunctions(
  plan: DeploymentPlan,
  { secrets = {}, ...options }: SynthesizeOptions & { secrets?: Record<string, string> } = {},
) {
  for (const { sst: name } of plan.secrets) process.env[`SST_SECRET_${name}`] = secrets[name] ?? `value of ${name}`;
  try {
    return await synthesize(() => {
      const deployment: Deployment = {
        plan,
        store: { name: "the-store", arn: "arn:aws:s3:::the-store" },
        queues: new Map(),
        versions: new Map(),
        revisions: [],
        alarmTopic: undefined,
        functions: new Map(),
        urls: new Map([["Painter", "http://balancer:8001"]]),
        secrets: createSecrets(plan),
        alarms: new Map(plan.alarms.map(({ physicalName }) => [physicalName, physicalName])),
        network: undefined,
        loadBalancer: undefined,
        clusters: new Map(),
        functionNetwork: { subnetIds: ["subnet-1", "subnet-2"], securityGroupIds: ["sg-1"] },
      };
      for (const { name, queue } of plan.services)
        if (queue) deployment.queues.set(name, createQueues({ name }, queue));
      for (const one of plan.services) {
        if (one.kind === "function") createFunctionService(one, deployment);
        createDeadLetterFunction(one, deployment);
      }
      return { url: createEntryUrl(deployment) };
    }, options);
  } finally {
    for (const { sst: name } of plan.secrets) delete process.env[`SST_SECRET_${name}`];
  }
}
