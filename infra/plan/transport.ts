import type { Compute } from "./compute-kind.ts";
import type { Demand } from "./demand.ts";
import type { EdgePlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/**
 * How each call travels: to a function by `Invoke`, to a container through its queue; `external_queue` says otherwise. A
 * queue holds calls while nothing runs, so what scales to zero has one.
 */
export function edgesOf(
  demands: readonly Demand[],
  computes: ReadonlyMap<string, Compute>,
  report: PlanReport,
): EdgePlan[] {
  const transports = new Map(demands.map((demand) => [demand.name, transportTo(demand, computes, report)]));
  return demands.flatMap(({ name, dependencies }) =>
    dependencies.flatMap((callee): EdgePlan[] => {
      const transport = transports.get(callee);
      return transport ? [{ caller: name, callee, transport }] : [];
    }),
  );
}

function transportTo(
  demand: Demand,
  computes: ReadonlyMap<string, Compute>,
  report: PlanReport,
): EdgePlan["transport"] | undefined {
  const { name, isEntry, config } = demand;
  const queue = config.config_overrides?.traffic?.external_queue;
  const field = demand.override("traffic", "external_queue");
  if (isEntry) {
    if (queue !== undefined)
      report.warn(field, `has no effect: no service calls ${name}, the entry, and its tasks wait in a queue anyway`);
    return undefined;
  }
  const kind = computes.get(name)?.kind;
  if (kind === undefined) return undefined;
  if (kind === "function") return queue === true ? "sqs" : "lambda";
  if (queue !== false) return "sqs";
  if (kind === "gpu-function")
    report.error(
      field,
      `${name} is a function with a GPU, which starts in minutes, and nothing would hold its calls meanwhile`,
      "leave it out, or take backend: ecs",
    );
  else if (config.scaling?.min_replicas === 0)
    report.error(
      field,
      `${name} may have no replica (min_replicas: 0), and without a queue nothing would wake it`,
      "leave it out, or write min_replicas: 1",
    );
  return "http";
}
