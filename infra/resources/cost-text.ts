import type { DeploymentPlan } from "../plan/deployment-plan.ts";

/** What a deployment costs, as Markdown for its dashboard. */
export function costText({ name, stage, cost }: DeploymentPlan): string {
  const dollars = (amount: number) => `$${amount.toFixed(2)}`;
  const { monthlyAtMin, monthlyAtMax, perThousandPictures, secondsPerPicture, basis } = cost;
  const pictures =
    perThousandPictures === undefined
      ? ""
      : ` 1,000 pictures at ${secondsPerPicture} s of GPU each: ${dollars(perThousandPictures)}.`;
  return [
    `# ${name}, stage ${stage}`,
    `A month, calls not counted: ${dollars(monthlyAtMin)} with the least replicas, ${dollars(monthlyAtMax)} with the most.${pictures}`,
    basis,
  ].join("\n\n");
}
