import type { ConfigFile } from "#shared/config/config-file.ts";
import type { Demand } from "./demand.ts";
import type { CorsPlan, EntryPlan } from "./deployment-plan.ts";
import type { PlanReport } from "./plan-report.ts";

/** Methods that a function URL's CORS settings may name; OPTIONS it answers by itself. */
const METHODS = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"];
/** Seconds that a function URL's CORS answer may be kept. */
const MAX_AGE = 86_400;

/** Who may call the entry, from where, and how its URL answers. */
export function entryPlan(
  demands: readonly Demand[],
  config: ConfigFile,
  inVpc: ReadonlySet<string>,
  report: PlanReport,
): EntryPlan {
  const entry = demands.at(-1)!;
  for (const demand of demands)
    if (demand !== entry && corsFields(demand))
      report.warn(
        demand.override("http", "cors"),
        `has no effect: ${demand.name} has no URL of its own, ${entry.name} has`,
        `move it to services.${entry.name}`,
      );
  return {
    service: entry.name,
    access: config.access_authorization ?? "none",
    cors: corsOf(entry, report),
    // In a VPC function URLs do not stream.
    invokeMode: inVpc.has(entry.name) ? "BUFFERED" : "RESPONSE_STREAM",
  };
}

function corsFields({ config }: Demand) {
  return config.config_overrides?.http?.cors;
}

function corsOf(entry: Demand, report: PlanReport): CorsPlan | undefined {
  const cors = corsFields(entry);
  if (!cors) return undefined;
  const field = (name: string) => entry.override("http", "cors", name);
  if (!cors.enabled) {
    if (Object.keys(cors).some((name) => name !== "enabled"))
      report.warn(entry.override("http", "cors"), "has no effect without enabled: true", "add enabled: true");
    return undefined;
  }
  const origins = listed(cors.access_control_allow_origins, "*");
  const allowMethods = listed(cors.access_control_allow_methods, "*").map((method) => method.toUpperCase());
  const unknown = allowMethods.filter((method) => !METHODS.includes(method) && method !== "OPTIONS");
  if (unknown.length > 0)
    report.error(
      field("access_control_allow_methods"),
      `${unknown.join(", ")} cannot be allowed by a function URL`,
      `it knows ${METHODS.join(", ")}`,
    );
  const maxAgeSeconds = cors.access_control_max_age ?? 0;
  if (maxAgeSeconds > MAX_AGE)
    report.error(field("access_control_max_age"), `${maxAgeSeconds} s are over a day`, `write ${MAX_AGE} or less`);
  const allowCredentials = cors.access_control_allow_credentials ?? false;
  if (allowCredentials && origins.includes("*"))
    report.error(
      field("access_control_allow_credentials"),
      "browsers send no cookies where every origin may call",
      "list the origins in access_control_allow_origins",
    );
  return {
    allowOrigins: origins,
    allowMethods: allowMethods.filter((method) => method !== "OPTIONS"),
    allowHeaders: listed(cors.access_control_allow_headers, "*"),
    exposeHeaders: listed(cors.access_control_expose_headers),
    allowCredentials,
    maxAgeSeconds,
  };
}

function listed(value: string | string[] | undefined, fallback?: string): string[] {
  if (value === undefined) return fallback === undefined ? [] : [fallback];
  return typeof value === "string" ? [value] : value;
}
