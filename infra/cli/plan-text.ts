import { table } from "#shared/cli/table.ts";
import type { DeploymentPlan, ServicePlan } from "../plan/deployment-plan.ts";
import { functionsOf } from "../plan/functions-of.ts";

/** A plan as people read it. */
export function planText(plan: DeploymentPlan): string {
  const { name, stage, region, entry, removal } = plan;
  const kept = removal === "retain" ? "; data outlives it" : "";
  const access = { none: "open to everybody", bearer: "asks for a key", iam: "asks for AWS signatures" }[entry.access];
  return [
    `${name}, stage ${stage}, ${region}${kept}. ${entry.service} has the URL, which is ${access.replace("asks", "one that asks")}.`,
    table(
      SERVICE_COLUMNS,
      plan.services.map((service) => serviceRow(service, plan)),
    ),
    ...versionLines(plan),
    ...section(
      "Calls",
      plan.edges.map(
        ({ caller, callee, transport }) =>
          `${caller} -> ${callee} by ${WORDS[transport]}${transport === "http" ? " through the private load balancer" : ""}`,
      ),
    ),
    ...section("From zero replicas to the first call", plan.services.flatMap(startLines)),
    ...section(
      "Secrets to set",
      plan.secrets.map(({ sst, variable }) => `npx sst secret set ${sst} <value> --stage ${stage}    (${variable})`),
    ),
    ...section("Quotas to have", plan.quotas.map(quotaText)),
    ...costLines(plan),
  ].join("\n");
}

/** How calls are split, and what each version has of its own. */
function versionLines({ canary, ...plan }: DeploymentPlan): string[] {
  if (!canary) return [];
  const { route, routeBy, versions } = canary;
  const main = 100 - versions.reduce((sum, { weight }) => sum + weight, 0);
  const by =
    route === "random" ? "by chance" : `by the ${route === "header" ? "header" : "query parameter"} ${routeBy}`;
  const rows = versions.map(({ label, weight, bento = "", services }) => [
    label,
    `${weight} %`,
    services.map(({ name }) => name).join(", "),
    bento,
  ]);
  return [
    ...section(`Versions; calls are split ${by}, and a version that fails gets no more`, [
      table(["version", "share", "services of its own", "folder"], [["main", `${main} %`, "all", ""], ...rows]),
    ]),
    ...versions.flatMap(({ label, services, edges }) =>
      section(`Services of version ${label}`, [
        table(
          SERVICE_COLUMNS,
          services.map((service) => serviceRow(service, { ...plan, edges })),
        ),
      ]),
    ),
  ];
}

const SERVICE_COLUMNS = ["service", "runs as", "machine", "memory", "replicas", "timeout", "called by", "queue"];
const WORDS = { sqs: "SQS", http: "HTTP", lambda: "Invoke" };

function serviceRow(
  service: ServicePlan,
  { edges, entry }: Pick<DeploymentPlan, "edges" | "entry">,
): (string | number)[] {
  const { name, instanceType, timeout, queue } = service;
  const transports = new Set(edges.flatMap(({ callee, transport }) => (callee === name ? [WORDS[transport]] : [])));
  return [
    name,
    runsAs(service),
    service.kind === "gpu" ? `${instanceType} (${service.capacity.instanceTypes.join(", ")})` : instanceType,
    memoryOf(service),
    replicasOf(service),
    `${timeout} s`,
    name === entry.service ? (service.version === undefined ? "URL" : "main") : [...transports].join(", "),
    queue ? "yes" : "no",
  ];
}

function runsAs(service: ServicePlan): string {
  switch (service.kind) {
    case "function":
      return "function";
    case "container":
      return "Fargate";
    case "gpu-function":
      return `function, ${service.acceleratorMemory} GiB GPU`;
    case "gpu": {
      const { gpus, workers } = service.task;
      return `ECS, ${gpus} GPU${gpus === 1 ? "" : "s"}, ${workers.length} worker${workers.length === 1 ? "" : "s"}`;
    }
  }
}

function memoryOf(service: ServicePlan): string {
  if (service.kind === "function") return `${functionsOf(service)[0]!.memory} MB`;
  return `${"task" in service ? service.task.memory : service.function.memory} MiB`;
}

function replicasOf(service: ServicePlan): string {
  const { minReplicas, maxReplicas } = service.scaling;
  if (service.kind !== "function") return `${minReplicas} to ${maxReplicas}`;
  const { function: invoked, queueFunction } = service;
  // Two lanes.
  const bound = invoked ? invoked.reservedConcurrency : queueFunction && 2 * queueFunction.maximumConcurrency;
  const warm = functionsOf(service)[0]!.provisionedConcurrency;
  return `${warm} warm, ${bound ?? "as many as the account has"} at most`;
}

function startLines(service: ServicePlan): string[] {
  if (service.kind !== "gpu" && service.kind !== "gpu-function") return [];
  const { boot, pull, load, total, basis } = service.startEstimate;
  return [`${service.name}: about ${total} s (boot ${boot}, image ${pull}, model ${load}); ${basis}`];
}

function quotaText({ name, needed, default: given, command }: DeploymentPlan["quotas"][number]): string {
  const text = `${name}: ${needed}, a new account has ${given}`;
  return needed > given ? `${text}\n  ${command}` : text;
}

function costLines({ cost }: DeploymentPlan): string[] {
  const { items, monthlyAtMin, monthlyAtMax, callItems, perThousandPictures, secondsPerPicture, basis } = cost;
  const monthly = items.map(({ service = "", what, monthlyAtMin: min, monthlyAtMax: max }) => [
    service,
    what,
    dollars(min),
    dollars(max),
  ]);
  const calls = callItems.map(({ service = "", what, perThousandPictures: usd }) => [service, what, dollars(usd)]);
  const all = ["", `all, at ${secondsPerPicture ?? "unknown"} s each`, dollars(perThousandPictures)];
  return [
    "\nCost a month, with the least and the most replicas",
    indented(
      table(
        ["service", "what", "at min", "at max"],
        [...monthly, ["", "all", dollars(monthlyAtMin), dollars(monthlyAtMax)]],
      ),
    ),
    ...(calls.length === 0
      ? []
      : ["\nCost of 1,000 pictures", indented(table(["service", "what", ""], [...calls, all]))]),
    `\n${basis}`,
  ];
}

function dollars(amount: number | undefined): string {
  return amount === undefined ? "unknown" : `$${amount.toFixed(2)}`;
}

function section(heading: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`\n${heading}`, ...lines.map(indented)];
}

function indented(text: string): string {
  return text.replace(/^/gm, "  ");
}
