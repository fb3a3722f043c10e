/// <reference path="../../.sst/platform/config.d.ts" />
import type { EdgePlan, ServicePlan } from "../plan/deployment-plan.ts";
import { type Deployment, made } from "./deployed.ts";
import { secretVariables } from "./secrets.ts";

type Location = Record<string, $util.Input<string>>;
type Environment = Record<string, $util.Input<string>>;

/**
 * The environment of a service's process: what the plan gives it, its secrets, and where the services are that it calls.
 * @throws Error for a callee that was not made yet.
 */
export function environmentOf(service: ServicePlan, deployment: Deployment): Environment {
  const { name, queue, environment, secrets } = service;
  const callees = deployment.plan.edges.filter(({ caller }) => caller === name);
  const locations = callees.map((edge) => [edge.callee, calleeLocation(edge, deployment)] as const);
  const own = queue ? [[name, queueLocation(name, deployment)] as const] : [];
  return {
    ...environment,
    TANDEM_STORE: storeUrl(deployment),
    TANDEM_SERVICES: $jsonStringify(Object.fromEntries([...locations, ...own])),
    ...secretVariables(secrets, deployment.plan, deployment.secrets),
  };
}

/**
 * The environment of a service's dead-letter function, which runs nothing of the service: what a container has may be too
 * much for a function.
 */
export function deadLetterEnvironment({ name, environment }: ServicePlan, deployment: Deployment): Environment {
  const { TANDEM_OVERRIDES, TANDEM_LOG_LEVEL } = environment;
  return {
    ...(TANDEM_OVERRIDES !== undefined && { TANDEM_OVERRIDES }),
    ...(TANDEM_LOG_LEVEL !== undefined && { TANDEM_LOG_LEVEL }),
    TANDEM_STORE: storeUrl(deployment),
    TANDEM_SERVICES: $jsonStringify({ [name]: queueLocation(name, deployment) }),
  };
}

function calleeLocation({ callee, transport }: EdgePlan, deployment: Deployment): Location {
  switch (transport) {
    case "sqs":
      return queueLocation(callee, deployment);
    case "lambda":
      return {
        transport,
        functionName: made(deployment.functions.get(callee), `function of ${callee}`).aliasArn,
        storeUrl: storeUrl(deployment),
      };
    case "http":
      return { transport, url: made(deployment.urls.get(callee), `URL of ${callee}`) };
  }
}

function queueLocation(service: string, deployment: Deployment): Location {
  const { queue, priority } = made(deployment.queues.get(service), `queues of ${service}`);
  return { transport: "sqs", queueUrl: queue.url, priorityQueueUrl: priority.url, storeUrl: storeUrl(deployment) };
}

function storeUrl({ store }: Deployment): $util.Output<string> {
  return $interpolate`s3://${store.name}`;
}
