import type { EdgePlan, NetworkPlan, ServicePlan } from "./deployment-plan.ts";
import { functionsOf } from "./functions-of.ts";

/** Listeners of the private load balancer, one port a service. */
const FIRST_PORT = 8000;

/** Services with a function that calls over HTTP, which must be in the VPC for it. */
export function callersInVpc(edges: readonly EdgePlan[]): Set<string> {
  return new Set(edges.flatMap(({ caller, transport }) => (transport === "http" ? [caller] : [])));
}

/**
 * The VPC; undefined where all services are functions. Where all calls come by SQS it has public subnets without inbound
 * rules and nothing that costs by the hour. Behind the load balancer, functions in the VPC reach AWS through endpoints.
 * @param splits whether the entry invokes canary versions.
 */
export function networkOf(
  services: readonly ServicePlan[],
  edges: readonly EdgePlan[],
  zones: number,
  splits = false,
): NetworkPlan | undefined {
  if (services.every(({ kind }) => kind === "function")) return undefined;
  const loadBalanced = services
    .filter(({ name }) => edges.some(({ callee, transport }) => callee === name && transport === "http"))
    .map(({ name }, index) => ({ service: name, port: FIRST_PORT + index }));
  const inVpc = services.filter(
    (service) => service.kind === "function" && functionsOf(service).some((plan) => plan.inVpc),
  );
  const needs = (transport: EdgePlan["transport"]): boolean =>
    edges.some((edge) => edge.transport === transport && inVpc.some(({ name }) => name === edge.caller));
  const queues = needs("sqs") || inVpc.some(({ queue }) => queue !== undefined);
  return {
    zones,
    private: loadBalanced.length > 0,
    gatewayEndpoints: ["s3"],
    interfaceEndpoints: [
      ...(inVpc.length > 0 && queues ? (["sqs"] as const) : []),
      ...(needs("lambda") || (splits && inVpc.length > 0) ? (["lambda"] as const) : []),
    ],
    loadBalanced,
  };
}
