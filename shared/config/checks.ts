import type { Bentofile } from "./bentofile.ts";
import { checkCanary, checkDeploymentOnAws, checkServiceOnAws } from "./checks-aws.ts";
import { secretVariable } from "./environment.ts";
import { isMapping, list, mapping, valueAt } from "./explain.ts";
import type { Path, Report } from "./faults.ts";

const WARNING = { severity: "warning" } as const;

/**
 * What fields of config-file.yaml say together. It takes the file as written, faults and all, so that these are told in
 * the same breath as those of single fields.
 */
export function checkConfigFile(file: unknown, report: Report): void {
  const top = mapping(file);
  checkNames(top.envs, ["envs"], "name", report);
  checkNames(top.labels, ["labels"], "key", report);
  checkSecrets(top, report);
  const { cluster } = top;
  if (typeof cluster === "string" && !/^[a-z]{2}(-[a-z]+)+-\d$/.test(cluster)) {
    const hint = "write an AWS region, such as eu-central-1";
    report(["cluster"], `"${cluster}" is no AWS region: ignored`, hint, WARNING);
  }
  for (const [name, service] of Object.entries(mapping(top.services)))
    checkService(mapping(service), ["services", name], report);
  const canary = mapping(top.canary);
  checkCanary(canary, report);
  for (const [label, version] of Object.entries(mapping(canary.versions))) {
    const { envs, services } = mapping(version);
    checkNames(envs, ["canary", "versions", label, "envs"], "name", report);
    for (const [name, service] of Object.entries(mapping(services)))
      checkService(mapping(service), ["canary", "versions", label, "services", name], report);
  }
  checkDeploymentOnAws(mapping(top.aws), report);
}

/** What fields of bentofile.yaml say together. */
export function checkBentofile(file: unknown, report: Report): void {
  const top = mapping(file);
  checkNames(top.envs, ["envs"], "name", report);
  const { requirements_txt, packages } = mapping(top.python);
  if (requirements_txt !== undefined && packages !== undefined)
    report(["python", "packages"], "stands beside requirements_txt", "keep one of the two", { on: "key" });
  const { base_image, cuda_version, system_packages } = mapping(top.docker);
  for (const [name, value] of Object.entries({ cuda_version, system_packages }))
    if (base_image !== undefined && value !== undefined)
      report(["docker", name], "has no effect beside base_image", "keep one of the two", { ...WARNING, on: "key" });
}

/** Services that the file speaks of and the project does not have. */
export function checkServiceNames(file: unknown, services: readonly string[], report: Report): void {
  const top = mapping(file);
  const versions = Object.keys(mapping(mapping(top.canary).versions));
  const places: Path[] = [["services"], ...versions.map((name) => ["canary", "versions", name, "services"])];
  for (const place of places)
    for (const name of Object.keys(mapping(valueAt(file, place))))
      if (!services.includes(name)) report([...place, name], "no such service", undefined, { on: "key" });
}

/** Variables that bentofile.yaml wants and that neither the file nor a secret gives every service. */
export function checkRequiredVariables(
  file: unknown,
  wanted: readonly string[],
  services: readonly string[],
  report: Report,
): void {
  const top = mapping(file);
  const given = (envs: unknown) => list(envs).map((item) => mapping(item).name);
  const common = [...given(top.envs), ...list(top.secrets).map((name) => secretVariable(String(name)))];
  for (const name of wanted) {
    const without = services.filter(
      (service) => ![...common, ...given(valueAt(file, ["services", service, "envs"]))].includes(name),
    );
    if (without.length > 0)
      report(
        ["envs"],
        `${name} is wanted by bentofile.yaml, and ${without.join(" and ")} would not have it`,
        `add - name: ${name} with its value`,
      );
  }
}

/** Names of variables that bentofile.yaml declares without a value. */
export function wantedVariables({ envs = [] }: Bentofile): string[] {
  return envs.flatMap(({ name, value = "", stage }) => (value === "" && stage !== "build" ? [name] : []));
}

function checkService(service: Record<string, unknown>, path: Path, report: Report): void {
  checkNames(service.envs, [...path, "envs"], "name", report);
  checkScaling(mapping(service.scaling), [...path, "scaling"], report);
  const overrides = mapping(service.config_overrides);
  const at = (...rest: Path) => [...path, "config_overrides", ...rest];
  checkTraffic(mapping(overrides.traffic), at("traffic"), report);
  checkServiceOnAws(service, path, report);
  const { gpu, gpu_type } = mapping(overrides.resources);
  const { workers } = overrides;
  const dealt = list(workers).reduce<number>((sum, worker) => sum + gpusOf(mapping(worker)), 0);
  const gpus = Math.max(typeof gpu === "number" ? gpu : 0, dealt);
  const onCpu = typeof service.instance_type === "string" && service.instance_type.startsWith("cpu.");
  const { path: asking, wants } =
    dealt > 0 ? { path: at("workers"), wants: dealt } : { path: at("resources", "gpu"), wants: gpu };
  if (onCpu && gpus > 0)
    report(
      asking,
      `${wants} GPU on ${service.instance_type}, which has none`,
      "take an instance_type such as gpu.l4.1",
    );
  else if (onCpu && gpu_type !== undefined)
    report(
      at("resources", "gpu_type"),
      `a GPU on ${service.instance_type}, which has none`,
      "take an instance_type such as gpu.l4.1",
    );
  if (typeof gpu === "number" && dealt > gpu)
    report(at("workers"), `deals out ${dealt} GPUs, and resources.gpu is ${gpu}`, `set resources.gpu to ${dealt}`);
  if (workers === "cpu_count" && gpus > 0)
    report(at("workers"), "cpu_count workers get no GPU", `write workers: ${Math.max(1, Math.floor(gpus))}`);
  for (const [index, worker] of list(workers).entries())
    if (isMapping(worker) && "gpu" in worker && "gpus" in worker)
      report(at("workers", index, "gpu"), "gpu and gpus are the same", "keep gpus", { on: "key" });
  const bounds = mapping(mapping(overrides.metrics).duration);
  if ("buckets" in bounds && ["min", "max", "factor"].some((name) => name in bounds))
    report(at("metrics", "duration", "buckets"), "excludes min, max and factor", "keep one of the two", { on: "key" });
}

function checkScaling(scaling: Record<string, unknown>, path: Path, report: Report): void {
  const { min_replicas, max_replicas } = scaling;
  if (typeof min_replicas === "number" && typeof max_replicas === "number" && min_replicas > max_replicas)
    report(
      [...path, "min_replicas"],
      `${min_replicas} is over max_replicas, ${max_replicas}`,
      `raise max_replicas to ${min_replicas}, or lower min_replicas`,
    );
  const policy = mapping(scaling.policy);
  for (const way of ["up", "down"])
    if (`scale_${way}_behavior` in policy && `scale_${way}_stabilization_window` in policy)
      report(
        [...path, "policy", `scale_${way}_behavior`],
        `has no effect beside scale_${way}_stabilization_window`,
        "leave it out",
        { ...WARNING, on: "key" },
      );
}

function checkTraffic(traffic: Record<string, unknown>, path: Path, report: Report): void {
  const { external_queue, concurrency, max_concurrency } = traffic;
  const hasMost = max_concurrency !== undefined;
  if (external_queue === true && concurrency === undefined)
    report(
      [...path, "external_queue"],
      "without concurrency a replica takes what the service declares",
      "write how many calls at once, as in concurrency: 1",
      { ...WARNING, on: "key" },
    );
  if (external_queue === true && hasMost)
    report([...path, "max_concurrency"], "does not hold for calls from the external queue", "concurrency does", {
      ...WARNING,
      on: "key",
    });
  if (typeof concurrency === "number" && typeof max_concurrency === "number" && concurrency > max_concurrency)
    report(
      [...path, "concurrency"],
      `${concurrency} is over max_concurrency, ${max_concurrency}`,
      `raise max_concurrency to ${concurrency}, or leave it out`,
    );
}

/** A secret stands once, and no variable has the name that it is given to services as. */
function checkSecrets(top: Record<string, unknown>, report: Report): void {
  const first = new Map<string, string>();
  for (const [index, name] of list(top.secrets).entries()) {
    if (typeof name !== "string") continue;
    const variable = secretVariable(name);
    const before = first.get(variable);
    if (before !== undefined)
      report(["secrets", index], `"${name}" gives ${variable}, as "${before}" does`, "keep one of the two");
    else first.set(variable, name);
  }
  const places: Path[] = [["envs"], ...Object.keys(mapping(top.services)).map((name) => ["services", name, "envs"])];
  for (const place of places)
    for (const [index, item] of list(valueAt(top, place)).entries()) {
      const { name } = mapping(item);
      const secret = typeof name === "string" ? first.get(name) : undefined;
      if (secret !== undefined)
        report([...place, index, "name"], `${name} is given by the secret ${secret}, too`, "keep one of the two");
    }
}

function checkNames(items: unknown, path: Path, key: "name" | "key", report: Report): void {
  const first = new Map<unknown, number>();
  for (const [index, item] of list(items).entries()) {
    const name = mapping(item)[key];
    if (typeof name !== "string") continue;
    const before = first.get(name);
    if (before === undefined) first.set(name, index);
    else report([...path, index, key], `${name} is given twice, first as item ${before + 1}`, "keep one of the two");
  }
}

function gpusOf({ gpus, gpu = gpus }: Record<string, unknown>): number {
  return Array.isArray(gpu) ? gpu.length : typeof gpu === "number" ? gpu : 0;
}
