import type { ConfigFile } from "#shared/config/config-file.ts";
import type { CanaryPlan, CanaryVersion, EdgePlan, LambdaPlan, SecretPlan, ServicePlan } from "./deployment-plan.ts";
import { type Namer, versionNamer } from "./names.ts";
import { canaryRollback, canaryRouter, merged } from "./permissions.ts";
import type { PlanReport } from "./plan-report.ts";
import { componentName, NameOwners, resourceNames } from "./resource-names.ts";
import { type PlannedProject, type ServicePlans, servicePlans } from "./service-plans.ts";
import { type VersionConfig, versionConfig, versionPlace } from "./version-config.ts";

/** Versions that the entry's variables have room for. */
const MOST_VERSIONS = 4;
/** Seconds and MB of the function that takes calls off a version: one request to the store. */
const ROLLBACK = { timeout: 30, memory: 256 } as const;
/** What its handler's file is named after, as those of services are, and what SST calls it. */
const ROLLBACK_HANDLER = "CanaryRollback";

export interface CanaryInput {
  readonly config: ConfigFile;
  readonly project: PlannedProject;
  /** Projects of versions with `bento`, by label; their handlers and images are named from the main project's folder. */
  readonly versions: Readonly<Record<string, PlannedProject>>;
  readonly main: ServicePlans;
  readonly naming: Namer;
  readonly report: PlanReport;
  /** Those of all versions. */
  readonly secrets: readonly SecretPlan[];
  /** Names of a service's secrets, of those of a version. */
  secretsOf(service: string, names: readonly string[]): string[];
}

/** Plans the versions beside the main one; undefined without any. */
export function canaryPlan(input: CanaryInput): CanaryPlan | undefined {
  const { config, main, naming, report } = input;
  if (!config.canary) return undefined;
  const { route_type: route, route_by } = config.canary;
  const labels = Object.keys(config.canary.versions);
  const field = ["canary", "versions"];
  if (labels.length === 0) {
    report.warn(
      field,
      "there are none: all calls go to main",
      "add one, as in next: { weight: 10 }, or leave canary out",
    );
    return undefined;
  }
  if (labels.length > MOST_VERSIONS)
    report.error(
      field,
      `${labels.length} versions are too many`,
      `keep ${MOST_VERSIONS}: each is deployed beside the others`,
    );
  const entry = main.demands.at(-1)!.name;
  const versions = Object.entries(config.canary.versions).map(([label, version]) =>
    versionOf(label, version, entry, input),
  );
  checkLabels(input, versions);
  return {
    route,
    // Function URLs give headers in small letters.
    routeBy: route === "random" ? undefined : route === "header" ? route_by?.toLowerCase() : route_by,
    versions,
    rollback: rollbackFunction(input, naming),
    rollbackPermissions: canaryRollback(),
  };
}

/** The main version's services, the entry among them with what splitting its calls needs. */
export function withRouter(plans: readonly ServicePlan[], canary: CanaryPlan | undefined): readonly ServicePlan[] {
  if (!canary) return plans;
  const labels = canary.versions.map(({ label }) => label);
  return plans.map((plan, index) =>
    index === plans.length - 1
      ? { ...plan, permissions: merged([...plan.permissions, ...canaryRouter(labels)]) }
      : plan,
  );
}

function versionOf(label: string, version: VersionConfig, entry: string, input: CanaryInput): CanaryVersion {
  const { project, main, naming } = input;
  const report = input.report.elsewhere(versionPlace(input.config, label, version));
  const config = versionConfig(input.config, version);
  const own = input.versions[label];
  const plan = (naming: Namer): ServicePlans =>
    servicePlans({
      project: own ?? project,
      config,
      naming,
      report,
      secretsOf: (service) => input.secretsOf(service, config.secrets ?? []),
    });
  // Named as the main one's are, they are the same where nothing is different.
  const compared = plan(naming);
  const names = own ? new Set(compared.plans.map(({ name }) => name)) : different(main.plans, compared, entry);
  const { plans, edges } = plan(versionNamer(naming, label, (service) => names.has(service)));
  const entered = compared.demands.at(-1)?.name;
  if (entered !== entry)
    input.report.error(
      ["canary", "versions", label, "bento"],
      `its entry is ${entered}, and the main version's is ${entry}: one URL has one entry`,
      `name ${entry} in its bentofile.yaml`,
    );
  checkTransports(edges, names, report);
  if (version.services?.[entry]?.config_overrides?.http?.cors)
    report.warn(
      ["services", entry, "config_overrides", "http", "cors"],
      "has no effect: a version has no URL of its own",
      `move it to services.${entry}`,
    );
  return {
    label,
    weight: version.weight ?? 0,
    bento: own && version.bento,
    services: plans
      .filter(({ name }) => names.has(name))
      .map((service) => ofVersion(service, label, own && version.bento)),
    edges,
  };
}

/** The entry, services that are not as the main version has them, and those that call one of these. */
function different(main: readonly ServicePlan[], { plans, edges }: ServicePlans, entry: string): Set<string> {
  const before = new Map(main.map((plan) => [plan.name, JSON.stringify(plan)]));
  const names = new Set([entry]);
  // Callees come first.
  for (const plan of plans) {
    const calls = edges.some(({ caller, callee }) => caller === plan.name && names.has(callee));
    if (calls || before.get(plan.name) !== JSON.stringify(plan)) names.add(plan.name);
  }
  return names;
}

/** A version's share is small, and watched: its functions move to a new state at once. */
function ofVersion(service: ServicePlan, version: string, folder: string | undefined): ServicePlan {
  const common = { version, environment: { ...service.environment, TANDEM_VERSION: version } };
  const atOnce = { shift: { type: "all-at-once" } } as const;
  const inFolder = <T extends { readonly context: string }>(image: T): T =>
    folder === undefined ? image : { ...image, context: folder };
  switch (service.kind) {
    case "function":
      return {
        ...service,
        ...common,
        function: service.function && { ...service.function, ...atOnce },
        queueFunction: service.queueFunction && { ...service.queueFunction, ...atOnce },
      };
    case "gpu-function":
      return { ...service, ...common, image: inFolder(service.image) };
    default:
      return { ...service, ...common, task: { ...service.task, image: inFolder(service.task.image) } };
  }
}

/** The load balancer has one place for a service. */
function checkTransports(edges: readonly EdgePlan[], own: ReadonlySet<string>, report: PlanReport): void {
  for (const { callee, transport } of edges)
    if (transport === "http" && own.has(callee))
      report.error(
        ["services", callee, "config_overrides", "traffic", "external_queue"],
        `the load balancer has one ${callee}, and a canary version would have another`,
        `leave external_queue: false out, or have the version's ${callee} as the main one's`,
      );
}

/** Labels may be so that resources of two versions, or of a version and a service, have one name. */
function checkLabels({ main, secrets, report }: CanaryInput, versions: readonly CanaryVersion[]): void {
  const owners = new NameOwners();
  for (const plan of main.plans) owners.take(plan.name, resourceNames(plan, secrets));
  for (const { label, services } of versions)
    for (const service of services) {
      const whose = `${service.name} of version ${label}`;
      for (const [other, what] of owners.take(whose, resourceNames(service, secrets)))
        report.error(
          ["canary", "versions", label],
          `${whose} and ${other} would both have ${what}`,
          "rename the version",
        );
    }
}

/** Names of the function that takes calls off a version, in words. */
export function rollbackNames(naming: Namer): string[] {
  return [`a function ${rollbackName(naming)}`, componentName(ROLLBACK_HANDLER)];
}

function rollbackName(naming: Namer): string {
  return naming("function", "canary-rollback");
}

function rollbackFunction({ project, report }: CanaryInput, naming: Namer): LambdaPlan {
  const file = project.handlers(ROLLBACK_HANDLER).url;
  if (file === undefined)
    report.error(
      ["canary"],
      "functions/handlers/canary-rollback.ts is missing, the function that takes calls off a version that fails",
      "write it: export const handler = canaryRollback()",
    );
  return {
    physicalName: rollbackName(naming),
    handler: `${file?.replace(/\.ts$/, "")}.handler`,
    runtime: "nodejs24.x",
    architecture: "arm64",
    ...ROLLBACK,
    provisionedConcurrency: 0,
    reservedConcurrency: undefined,
    shift: { type: "all-at-once" },
    inVpc: false,
  };
}
