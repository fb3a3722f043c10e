import { secretVariable } from "#shared/config/environment.ts";
import type { SecretPlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/** The keys that callers of a protected entry need. */
export const API_KEYS = "tandem-api-keys";

/** Stored secrets: SST's name of each, which has capitals and digits only, and the variable that services get it as. */
export function secretsOf(names: readonly string[], isProtected: boolean, report: PlanReport): SecretPlan[] {
  const wanted = names.map(secretPlan);
  for (const [index, { name, sst }] of wanted.entries()) {
    const other = wanted.slice(0, index).find((one) => one.sst === sst);
    if (other) report.error(["secrets", index], `"${name}" is ${sst} to SST, as "${other.name}" is`, "rename one");
  }
  const keys = secretPlan(API_KEYS);
  return isProtected && !wanted.some(({ sst }) => sst === keys.sst) ? [...wanted, keys] : wanted;
}

function secretPlan(name: string): SecretPlan {
  return { name, sst: sstName(name), variable: secretVariable(name) };
}

/** `hf-token` and `HF_TOKEN` are `HfToken`. */
function sstName(name: string): string {
  return name
    .split(/[-_]+/)
    .map((part) => (part === part.toUpperCase() ? part.toLowerCase() : part))
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
}
