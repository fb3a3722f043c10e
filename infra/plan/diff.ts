import type { DeploymentPlan } from "./deployment-plan.ts";

/** One thing in which two plans differ. */
export interface PlanChange {
  readonly kind: "added" | "removed" | "changed";
  /** `services.ControlNet.function.memory`: members of lists by what names them. */
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** A plan of nothing, as far as it has lists: each item is a change of its own. */
const NOTHING = { services: [], edges: [], secrets: [], alarms: [], quotas: [], cost: { items: [], callItems: [] } };

/**
 * What is different in the second of two plans, in the order of its fields. What is undefined is not there.
 * @param before undefined where nothing is deployed.
 */
export function diffPlans(before: DeploymentPlan | undefined, after: DeploymentPlan): PlanChange[] {
  return diff(before ?? NOTHING, after, "");
}

/** A change on a line: `~ services.A.scaling.maxReplicas: 2 -> 3`. */
export function changeLine({ kind, path, before, after }: PlanChange): string {
  if (kind === "added") return `+ ${path}: ${short(after)}`;
  if (kind === "removed") return `- ${path}: ${short(before)}`;
  return `~ ${path}: ${short(before)} -> ${short(after)}`;
}

function diff(before: unknown, after: unknown, path: string): PlanChange[] {
  if (before === undefined && after === undefined) return [];
  if (before === undefined) return [{ kind: "added", path, after }];
  if (after === undefined) return [{ kind: "removed", path, before }];
  const [old, now] = [membersOf(before), membersOf(after)];
  if (old && now) {
    const names = [...new Set([...now.keys(), ...old.keys()])];
    return names.flatMap((name) => diff(old.get(name), now.get(name), path === "" ? name : `${path}.${name}`));
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ kind: "changed", path, before, after }];
}

/** Members of an object, or of a list of objects that have names; undefined for what is compared whole. */
function membersOf(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  const names = value.map(nameOf);
  const isNamed = names.every((name) => name !== undefined) && new Set(names).size === names.length;
  return isNamed ? new Map(value.map((item, index) => [names[index]!, item])) : undefined;
}

/** What tells one item of a plan's list from the others. */
function nameOf(item: unknown): string | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { caller, callee, on, quotaCode, metric, service, version, what, name, label } = item as Record<
    string,
    unknown
  >;
  if (typeof caller === "string") return `${caller} -> ${String(callee)}`;
  if (typeof on === "object" && on !== null) return Object.values(on).join(" ");
  for (const parts of [
    [service, version, metric],
    [service, metric],
    [service, what],
    [quotaCode],
    [what],
    [name],
    [label],
    [service],
  ])
    if (parts.every((part) => typeof part === "string")) return parts.join(" ");
  return undefined;
}

function short(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "object" && value !== null && "kind" in value && "instanceType" in value)
    return `${String(value.kind)} on ${String(value.instanceType)}`;
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
