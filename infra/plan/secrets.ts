import type { ConfigFile } from "#shared/config/config-file.ts";
import { secretVariable } from "#shared/config/environment.ts";
import type { Path } from "#shared/config/faults.ts";
import type { SecretPlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/** The keys that callers of a protected entry need. */
export const API_KEYS = "tandem-api-keys";

/**
 * Stored secrets of all versions: SST's name of each, which has capitals and digits only, and the variable that services
 * get it as.
 */
export function secretsOf(
  { secrets = [], canary }: ConfigFile,
  isProtected: boolean,
  report: PlanReport,
): SecretPlan[] {
  const wanted: SecretPlan[] = [];
  const places: [names: readonly string[], path: Path][] = [
    [secrets, ["secrets"]],
    ...Object.entries(canary?.versions ?? {}).map(([label, version]): [readonly string[], Path] => [
      version.secrets ?? [],
      ["canary", "versions", label, "secrets"],
    ]),
  ];
  for (const [names, path] of places)
    for (const [index, name] of names.entries()) {
      const plan = secretPlan(name);
      const other = wanted.find(({ sst }) => sst === plan.sst);
      if (!other) wanted.push(plan);
      else if (other.name !== name)
        report.error([...path, index], `"${name}" is ${plan.sst} to SST, as "${other.name}" is`, "rename one");
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
