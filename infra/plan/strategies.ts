import type { DeploymentStrategy } from "#shared/config/config-file.ts";
import type { LambdaShift, TaskPlan } from "./deployment-plan.ts";

/** Seconds that a new version is watched before a slow or controlled rollout goes on. */
const BAKE_SECONDS = 300;

/** BentoCloud's default. */
export const DEFAULT_STRATEGY: DeploymentStrategy = "Recreate";

/**
 * How ECS replaces a service's tasks. Percentages are of the desired tasks; the least is rounded up and the most down, so
 * that one task can only be replaced beside itself at 200.
 */
export function containerRollout(
  strategy: DeploymentStrategy,
  minReplicas: number,
): Pick<TaskPlan, "minimumHealthyPercent" | "maximumPercent" | "circuitBreaker" | "bakeSeconds"> {
  const circuitBreaker = true;
  switch (strategy) {
    case "Recreate":
      return { minimumHealthyPercent: 0, maximumPercent: 100, circuitBreaker, bakeSeconds: 0 };
    case "RollingUpdate":
      return { minimumHealthyPercent: 100, maximumPercent: 200, circuitBreaker, bakeSeconds: 0 };
    case "RampedSlowRollout":
      // One more than there are at the least.
      return {
        minimumHealthyPercent: 100,
        maximumPercent: 100 + Math.ceil(100 / Math.max(1, minReplicas)),
        circuitBreaker,
        bakeSeconds: BAKE_SECONDS,
      };
    case "BestEffortControlledRollout":
      return { minimumHealthyPercent: 100, maximumPercent: 200, circuitBreaker, bakeSeconds: BAKE_SECONDS };
  }
}

/** How calls move from a function's version to the next. */
export function functionShift(strategy: DeploymentStrategy): LambdaShift {
  switch (strategy) {
    case "Recreate":
    case "RollingUpdate":
      return { type: "all-at-once" };
    case "RampedSlowRollout":
      return { type: "linear", percent: 10, everyMinutes: 1 };
    case "BestEffortControlledRollout":
      return { type: "canary", percent: 10, afterMinutes: BAKE_SECONDS / 60 };
  }
}
