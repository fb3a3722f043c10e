import { EC2_PRICES } from "../catalogue/ec2-types.ts";
import type { Catalogue } from "../catalogue/instance-types.ts";
import { PRICED_IN } from "../catalogue/prices.ts";
import { SECONDS_BASIS } from "../catalogue/seconds-per-call.ts";
import { callItems, callWork, secondsOf, total } from "./call-cost.ts";
import type { CanaryVersion, CostPlan, DeploymentPlan } from "./deployment-plan.ts";
import { commonItems, HOURS, serviceItems } from "./monthly-cost.ts";

/** What of a plan costs. */
export type CostParts = Pick<DeploymentPlan, "region" | "entry" | "services" | "edges" | "network" | "alarms"> & {
  readonly canary: { readonly versions: readonly Pick<CanaryVersion, "label" | "services">[] } | undefined;
};

/**
 * What a deployment costs by the month, with the least and the most replicas, and by 1,000 calls of its entry.
 * @param secondsPerCall `aws.seconds_per_call` by service, where it is given.
 */
export function costOf(
  plan: CostParts,
  catalogue: Catalogue,
  secondsPerCall: Readonly<Record<string, number | undefined>> = {},
): CostPlan {
  const versions = plan.canary?.versions ?? [];
  const beside = versions.flatMap(({ services }) => services);
  const items = [
    ...plan.services.flatMap((service) => serviceItems(service, catalogue)),
    ...versions.flatMap(({ label, services }) =>
      services
        .flatMap((service) => serviceItems(service, catalogue))
        .map((item) => ({ ...item, service: `${item.service} (${label})` })),
    ),
    ...commonItems(plan.network, plan.alarms, [...plan.services, ...beside]),
  ];
  const work = callWork(plan, catalogue, secondsPerCall);
  const calls = work.gpuSeconds.size > 0 ? callItems(plan, catalogue, work) : [];
  const estimated = [...work.gpuSeconds.keys()].filter((name) => secondsPerCall[name] === undefined);
  return {
    currency: "USD",
    basis: basis(plan.region, estimated),
    items,
    monthlyAtMin: sum(items.map(({ monthlyAtMin = 0 }) => monthlyAtMin)),
    monthlyAtMax: sum(items.map(({ monthlyAtMax = 0 }) => monthlyAtMax)),
    callItems: calls,
    perThousandPictures: calls.length > 0 ? total(calls.map((item) => item.perThousandPictures)) : undefined,
    secondsPerPicture: calls.length > 0 ? secondsOf(work) : undefined,
  };
}

function basis(region: string, estimated: readonly string[]): string {
  return [
    `AWS's prices in ${PRICED_IN}, of instances on ${EC2_PRICES.date}`,
    ...(region === PRICED_IN ? [] : [`${region} is priced as ${PRICED_IN}`]),
    `a month has ${HOURS} hours`,
    "without free tiers, logs, data transfer, storage of the bucket and tax",
    ...(estimated.length > 0
      ? [`seconds of ${estimated.join(" and ")}: ${SECONDS_BASIS}; aws.seconds_per_call says others`]
      : []),
  ].join("; ");
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((one, other) => one + other, 0);
}
