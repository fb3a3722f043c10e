import type { Bentofile } from "#shared/config/bentofile.ts";
import type { HandlerFiles } from "#shared/serve/handler-files.ts";
import type { Demand } from "./demand.ts";
import type { EdgePlan } from "./deployment-plan.ts";
import type { RunsAs } from "./environment.ts";
import type { Namer } from "./names.ts";
import type { PlanReport } from "./plan-report.ts";

/** What the plan of one service needs to know of the whole. */
export interface ServiceScope {
  readonly bentofile: Bentofile;
  readonly edges: readonly EdgePlan[];
  /** Names of services with functions in the VPC. */
  readonly inVpc: ReadonlySet<string>;
  readonly naming: Namer;
  readonly report: PlanReport;
  handlers(service: string): HandlerFiles;
  /** Variables that users give it. */
  variables(demand: Demand, runsAs: RunsAs): Record<string, string>;
  /** Names of its secrets. */
  secretsOf(service: string): string[];
}
