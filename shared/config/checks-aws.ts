import { list, mapping } from "./explain.ts";
import type { Path, Report } from "./faults.ts";

/** What a machine of EC2's has and a function or a CPU container has not. */
const OF_INSTANCES = ["fallback_instance_types", "spot_percent", "warm_pool", "ami", "root_volume"];

/** What fields of `aws` at the top say together. */
export function checkDeploymentOnAws(aws: Record<string, unknown>, report: Report): void {
  const first = new Map<string, number>();
  for (const [index, item] of list(aws.instance_types).entries()) {
    const { name } = mapping(item);
    if (typeof name !== "string") continue;
    const path = ["aws", "instance_types", index, "name"];
    const before = first.get(name);
    if (before !== undefined)
      report(path, `${name} is given twice, first as item ${before + 1}`, "keep one of the two");
    else first.set(name, index);
    if (name.startsWith("cpu."))
      report(path, `${name} is the name of a function's size, and this has GPUs`, "start it with gpu.");
  }
}

/** What fields of `services.<Name>.aws` say together, and beside the rest of the service. */
export function checkServiceOnAws(service: Record<string, unknown>, path: Path, report: Report): void {
  const aws = mapping(service.aws);
  const { instance_type } = service;
  const at = (...rest: Path) => [...path, "aws", ...rest];
  const onCpu = typeof instance_type === "string" && instance_type.startsWith("cpu.");
  if (onCpu && aws.backend !== undefined)
    report(at("backend"), `is for services with a GPU, and this is on ${instance_type}`, "leave it out", { on: "key" });
  const without = onCpu ? instance_type : aws.backend === "lambda" ? "backend: lambda" : undefined;
  for (const field of OF_INSTANCES)
    if (without !== undefined && aws[field] !== undefined)
      report(at(field), `has no effect with ${without}, which has no instances of its own`, "leave it out", {
        severity: "warning",
        on: "key",
      });
  for (const [index, fallback] of list(aws.fallback_instance_types).entries()) {
    if (typeof fallback !== "string") continue;
    const own = at("fallback_instance_types", index);
    if (fallback.startsWith("cpu.")) report(own, `${fallback} has no GPU`, "name one that has, such as gpu.l4.1");
    else if (fallback === instance_type)
      report(own, `${fallback} is the instance_type, which is tried first`, "leave it out");
    else if (list(aws.fallback_instance_types).indexOf(fallback) < index)
      report(own, `${fallback} is given twice`, "keep one of the two");
  }
}

/** What fields of `canary` say together, its services apart. */
export function checkCanary(canary: Record<string, unknown>, report: Report): void {
  const { route_type, route_by } = canary;
  if ((route_type === "header" || route_type === "query") && route_by === undefined)
    report(
      ["canary"],
      `route_type ${route_type} needs route_by`,
      `name the ${route_type === "query" ? "query parameter" : "header"}`,
    );
  if (route_type === "random" && route_by !== undefined)
    report(["canary", "route_by"], "has no effect with route_type random", "leave it out", {
      severity: "warning",
      on: "key",
    });
  const versions = Object.entries(mapping(canary.versions));
  const sum = versions.reduce((total, [, version]) => total + (Number(mapping(version).weight) || 0), 0);
  if (sum > 100)
    report(["canary", "versions"], `weights add up to ${sum} percent`, "keep them within 100; the rest goes to main", {
      on: "key",
    });
  for (const [label, version] of versions) {
    const path = ["canary", "versions", label];
    if (!/^[a-z][a-z0-9-]{0,15}$/.test(label) || label === "main")
      report(
        path,
        label === "main" ? "is what the rest of the calls goes to" : "must be a label in small letters",
        "name it as in next or v2, at most 16 letters, digits and -",
        { on: "key" },
      );
    if (mapping(version).weight === undefined)
      report(path, "gets no calls without weight", "write its percent, as in weight: 10", {
        severity: "warning",
        on: "key",
      });
  }
}
