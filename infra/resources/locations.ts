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
  const callees = deployment.plan.edges.filter(({ caller }) => caller === service.name);
  return {
    ...ownEnvironment(
      service,
      deployment,
      callees.map((edge) => [edge.callee, calleeLocation(edge, deployment)]),
    ),
    ...secretVariables(service.secrets, deployment.plan, deployment.secrets),
  };
}

/** The same of its dead-letter function, which calls nobody and needs no secret. */
export function deadLetterEnvironment(service: ServicePlan, deployment: Deployment): Environment {
  return ownEnvironment(service, deployment, []);
}

function ownEnvironment(
  service: ServicePlan,
  deployment: Deployment,
  callees: readonly (readonly [string, Location])[],
): Environment {
  const own = service.queue ? [[service.name, queueLocation(service.name, deployment)] as const] : [];
  return {
    ...service.environment,
    TANDEM_STORE: storeUrl(deployment),
    TANDEM_SERVICES: $jsonStringify(Object.fromEntries([...callees, ...own])),
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
