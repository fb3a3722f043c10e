import type { FunctionCompute } from "./compute-kind.ts";
import type { Demand } from "./demand.ts";
import type { EdgePlan, FunctionPlan, LambdaPlan } from "./deployment-plan.ts";
import { contractOverrides } from "./environment.ts";
import { handlerOf } from "./handlers.ts";
import { callerOf, entryFace, invoked, merged, queueFunction } from "./permissions.ts";
import { queuePlan } from "./queue-plan.ts";
import { eventSourceConcurrency, scalingOf } from "./scaling.ts";
import { API_KEYS } from "./secrets.ts";
import type { ServiceScope } from "./service-scope.ts";
import { DEFAULT_STRATEGY, functionShift } from "./strategies.ts";
import { functionTimeout } from "./timeouts.ts";

/** A CPU service as a Lambda function, and one for its queue where it has one; that alone where nobody calls the other. */
export function functionPlan(demand: Demand, compute: FunctionCompute, scope: ServiceScope): FunctionPlan {
  const { name, isEntry, config, service } = demand;
  const { report, naming, inVpc, edges } = scope;
  const files = scope.handlers(name);
  const strategy = config.deployment_strategy ?? DEFAULT_STRATEGY;
  const scaling = scalingOf(demand, false, report);
  const timeout = functionTimeout(demand.timeout);
  const common = {
    runtime: "nodejs24.x",
    architecture: "arm64",
    memory: compute.memory,
    timeout,
    shift: functionShift(strategy),
    inVpc: inVpc.has(name),
  } as const;
  const isCalledBy = (by: EdgePlan["transport"]) => edges.some((edge) => edge.callee === name && edge.transport === by);
  const hasQueue = isEntry || isCalledBy("sqs");
  const isInvoked = isEntry || isCalledBy("lambda");
  const warm = scaling.minReplicas * compute.workers;
  const calls = edges.filter(({ caller }) => caller === name);
  const overrides = contractOverrides(demand);
  const main = (): LambdaPlan => ({
    physicalName: naming("function", name),
    handler: handlerOf(demand, files, "url", report),
    ...common,
    provisionedConcurrency: warm,
    reservedConcurrency: config.scaling?.max_replicas && scaling.maxReplicas * compute.workers,
  });
  return {
    kind: "function",
    name,
    instanceType: compute.instanceType,
    timeout: demand.timeout,
    maxConcurrency: demand.maxConcurrency,
    concurrency: demand.concurrency,
    scaling,
    strategy,
    function: isInvoked || !hasQueue ? main() : undefined,
    queueFunction: hasQueue
      ? {
          physicalName: naming("function", name, "queue"),
          handler: handlerOf(demand, files, "queue", report),
          ...common,
          provisionedConcurrency: isInvoked ? 0 : warm,
          reservedConcurrency: undefined,
          maximumConcurrency: eventSourceConcurrency(demand.concurrency, scaling),
          batchSize: 1,
          permissions: merged([...queueFunction(name, isEntry), ...callerOf(calls)]),
          secrets: scope.secretsOf(name).filter((secret) => secret !== API_KEYS),
        }
      : undefined,
    queue: hasQueue ? queuePlan(demand, files, naming, { timeout }, report) : undefined,
    environment: {
      ...scope.variables(demand, "function"),
      ...(Object.keys(overrides).length > 0 && { TANDEM_OVERRIDES: JSON.stringify(overrides) }),
    },
    secrets: scope.secretsOf(service.name),
    permissions: merged([
      ...(isEntry ? entryFace(name) : []),
      ...(isInvoked ? invoked(name) : []),
      ...(isInvoked || !hasQueue ? callerOf(calls) : []),
    ]),
  };
}
