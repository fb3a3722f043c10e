/** SSM parameters below which deployments leave their records. */
export const RECORDS = "/tandem/deployments";

/** Objects of a deployment's store: the plan, and what it was made from. */
export const STORED_PLAN = "tandem/plan.json";
export const STORED_SOURCE = "tandem/source.json";

/** Name of the SSM parameter with a deployment's record. */
export function recordName(name: string, stage: string): string {
  return `${RECORDS}/${name}/${stage}`;
}
