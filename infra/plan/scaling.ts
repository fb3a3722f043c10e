import type { ScalingPolicy } from "#shared/config/config-file.ts";
import type { Demand } from "./demand.ts";
import type { ScalingPlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/** Bounds of an event source's `MaximumConcurrency`. */
const EVENT_SOURCE = { least: 2, most: 1000 };
/** Seconds of the older words, and of a policy that says nothing. */
const STABLE_SECONDS = 600;

/**
 * How a service scales. Replicas that the file does not say are 1 for a container, as BentoCloud has it; a function scales
 * from zero by itself, and so has none that are kept.
 */
export function scalingOf(demand: Demand, ownsReplicas: boolean, report: PlanReport): ScalingPlan {
  const { name, config, concurrency } = demand;
  const { min_replicas, max_replicas, policy = {} } = config.scaling ?? {};
  const minReplicas = min_replicas ?? (ownsReplicas ? Math.min(1, max_replicas ?? 1) : 0);
  const maxReplicas = max_replicas ?? Math.max(minReplicas, 1);
  if (minReplicas > maxReplicas)
    report.error(
      demand.at("scaling", "max_replicas"),
      `${name} is to have at least ${minReplicas} replicas and at most ${maxReplicas}`,
      `raise max_replicas to ${minReplicas}`,
    );
  return {
    minReplicas,
    maxReplicas,
    targetPerReplica: concurrency,
    ...cooldowns(policy),
    scaleOut: policy.scale_up_behavior !== "disabled",
    scaleIn: policy.scale_down_behavior !== "disabled",
    coldStartTimeout: config.cold_start_timeout,
  };
}

/** Messages of a lane that its function has in work at once: what the most replicas take. */
export function eventSourceConcurrency(concurrency: number, { maxReplicas }: ScalingPlan): number {
  return Math.min(EVENT_SOURCE.most, Math.max(EVENT_SOURCE.least, concurrency * maxReplicas));
}

function cooldowns(policy: ScalingPolicy): Pick<ScalingPlan, "scaleOutCooldown" | "scaleInCooldown"> {
  const windows = { fast: 0, stable: STABLE_SECONDS, disabled: 0 };
  return {
    scaleOutCooldown: policy.scale_up_stabilization_window ?? windows[policy.scale_up_behavior ?? "fast"],
    scaleInCooldown: policy.scale_down_stabilization_window ?? windows[policy.scale_down_behavior ?? "stable"],
  };
}
