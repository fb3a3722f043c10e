import type { DeploymentPlan } from "#infra/plan/deployment-plan.ts";

/** A plan without a queue: the entry alone, which edges and blurs. For tests that add what they are about. */
export function aPlan(changes: Partial<DeploymentPlan> = {}): DeploymentPlan {
  return {
    version: 1,
    name: "gallery",
    stage: "test",
    region: "us-east-1",
    description: undefined,
    tags: { "tandem:deployment": "gallery", "tandem:stage": "test" },
    removal: "remove",
    entry: { service: "Edges", access: "none", cors: undefined, invokeMode: "RESPONSE_STREAM" },
    services: [],
    edges: [],
    network: undefined,
    store: { retentionDays: 1 },
    secrets: [],
    alarms: [],
    alarmEmail: undefined,
    logRetentionDays: 14,
    canary: undefined,
    quotas: [],
    cost: {
      currency: "USD",
      basis: "",
      items: [],
      monthlyAtMin: 0,
      monthlyAtMax: 0,
      callItems: [],
      perThousandPictures: undefined,
      secondsPerPicture: undefined,
    },
    ...changes,
  };
}
