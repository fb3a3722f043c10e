import { InvalidArgumentError } from "commander";
import { table } from "#shared/cli/table.ts";
import { deployment } from "../deployments/deployment.ts";
import type { DeploymentStatus, ServiceStatus } from "../deployments/deployment-status.ts";
import type { VersionStatus } from "../deployments/version-status.ts";
import type { RunOptions } from "./commands.ts";
import { showDeployed } from "./deploy.ts";
import { flagsOf, type PlanOptions, usageChecked } from "./plan-options.ts";

interface PlaceOptions {
  stage: string;
  region?: string;
  json?: boolean;
}

/** `tandem deployment list` */
export async function list({ region, json }: Omit<PlaceOptions, "stage">): Promise<void> {
  const found = await deployment.list({ region });
  if (json) console.log(JSON.stringify(found));
  else if (found.length === 0) console.log("nothing is deployed in this region");
  else
    console.log(
      table(
        ["name", "stage", "region", "entry", "changed", "URL"],
        found.map((one) => [one.name, one.stage, one.region, one.entry, one.changedAt?.toISOString() ?? "", one.url]),
      ),
    );
}

/** `tandem deployment get NAME` */
export async function get(name: string, { stage, region, json }: PlaceOptions): Promise<void> {
  const status = await deployment.get(name, { stage, region });
  console.log(json ? JSON.stringify(status) : statusText(status));
}

/** `tandem deployment update NAME` */
export async function update(name: string, options: PlanOptions & RunOptions & { bento?: string }): Promise<void> {
  const { stage, region, configFile, bento, timeout, json } = options;
  const flags = flagsOf(options);
  const change = { stage, region, configFile, bento, flags, timeout, quiet: json };
  showDeployed(await usageChecked(() => deployment.update(name, change)), json);
}

/** `tandem deployment terminate NAME` */
export async function terminate(
  name: string,
  { stage, region, bento, timeout, json, yes }: PlaceOptions & RunOptions & { bento: string; yes?: boolean },
): Promise<void> {
  if (!yes) throw new InvalidArgumentError(`this removes ${name}, stage ${stage}, with its queues; say --yes`);
  await deployment.terminate(name, { stage, region, bento, timeout, quiet: json });
  console.log(json ? JSON.stringify({ name, stage, terminated: true }) : `${name}, stage ${stage}, is gone`);
}

export /** What `deployment get` prints. */
function statusText({
  deployment: { name, stage, region, url, changedAt },
  services,
  versions,
  plan,
}: DeploymentStatus): string {
  const rows = services.map(({ state, replicas, queue, ...service }: ServiceStatus) => [
    service.version === undefined ? service.name : `${service.name} (${service.version})`,
    state,
    replicas ? `${replicas.running} of ${replicas.desired}` : "",
    queue ? queue.waiting : "",
    queue ? queue.inWork : "",
    queue ? queue.givenUp : "",
    service.reason ?? "",
  ]);
  return [
    `${name}, stage ${stage}, ${region}: ${url}`,
    `changed ${changedAt?.toISOString() ?? "at an unknown time"}; $${plan.cost.monthlyAtMin?.toFixed(2) ?? "?"} a month at least`,
    table(["service", "state", "replicas", "waiting", "in work", "given up", "why"], rows),
    ...versions.map(versionText),
  ].join("\n");
}

function versionText({ label, weight, state, since, reason }: VersionStatus): string {
  if (state === "on") return `version ${label} gets ${weight} % of the calls`;
  if (state === "unknown") return `version ${label} is not known to the entry's function: deploy again`;
  return `version ${label} gets no calls since ${since ?? "its alarm rang"}: ${reason || "its calls failed"}; deploy it anew`;
}
