import { expect, it } from "vitest";
import { Catalogue } from "#infra/catalogue/instance-types.ts";
import type { ServicePlan } from "#infra/plan/deployment-plan.ts";
import { quotasOf } from "#infra/plan/quotas.ts";
import { cpuService, gpuFunction, gpuService, lambda } from "./plan-parts.ts";

const quotas = (...services: ServicePlan[]) =>
  Object.fromEntries(
    quotasOf({ region: "eu-central-1", services, canary: undefined }, new Catalogue()).map((quota) => [
      quota.quotaCode,
      quota.needed,
    ]),
  );

const [G, G_SPOT, P, P5_SPOT, LAMBDA] = ["L-DB2E81BA", "L-3819A6DF", "L-417A185B", "L-C4BD4855", "L-B99A9384"];

it("asks for the vCPUs of every instance there may be, all services together", () => {
  expect(
    quotas(gpuService("A", "gpu.l4.1", "g6.xlarge", [1, 2]), gpuService("B", "gpu.t4.4", "g4dn.12xlarge", [0, 1])),
  ).toEqual({ [G]: 2 * 4 + 48 });
});

it("asks for Spot by itself, and rounds in favour of instances on demand", () => {
  const capacity = { spotPercent: 50 };
  expect(quotas(gpuService("A", "gpu.l4.1", "g6.xlarge", [1, 4], { capacity }))).toEqual({ [G]: 3 * 4, [G_SPOT]: 4 });
  expect(quotas(gpuService("A", "gpu.h100.8", "p5.48xlarge", [0, 2], { capacity }))).toEqual({
    [P]: 192,
    [P5_SPOT]: 192,
  });
});

it("counts what a fallback would need, by the most of a family", () => {
  expect(
    quotas(gpuService("A", "gpu.l40s.1", ["g6e.xlarge", "g6.2xlarge", "g6.xlarge", "p5.4xlarge"], [0, 2])),
  ).toEqual({
    [G]: 2 * 8,
    [P]: 2 * 16,
  });
});

it("counts the machines of GPU functions", () => {
  expect(quotas(gpuFunction("A", [0, 3]))).toEqual({ [G]: 12 });
});

it("counts environments of functions, and the 100 that reserving leaves to others", () => {
  const queueFunction = { ...lambda(), maximumConcurrency: 5, batchSize: 1, permissions: [], secrets: [] } as const;
  expect(quotas(cpuService("A", { reservedConcurrency: 5 }, { queueFunction }), cpuService("B"))).toEqual({
    [LAMBDA]: 100 + 5 + 5 + 1,
  });
  expect(quotas(cpuService("A", { provisionedConcurrency: 3 }))).toEqual({ [LAMBDA]: 3 });
});

it("gives the command that asks for it, in the region", () => {
  const plan = {
    region: "eu-central-1",
    services: [gpuService("A", "gpu.l4.1", "g6.xlarge", [1, 2])],
    canary: undefined,
  };
  expect(quotasOf(plan, new Catalogue())).toEqual([
    {
      serviceCode: "ec2",
      quotaCode: G,
      name: "Running On-Demand G and VT instances (vCPUs)",
      needed: 8,
      default: 0,
      command:
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-DB2E81BA --desired-value 8 --region eu-central-1",
    },
  ]);
});
