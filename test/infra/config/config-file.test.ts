import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { ConfigError, type Fault, faultLine } from "#shared/config/faults.ts";
import { parseConfigFile } from "#shared/config/load.ts";
import { ACCEPTED } from "./accepted.ts";
import { BROKEN } from "./broken.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const services = ["SDXLControlNetService", "ControlNet"];

function faultsOf(text: string, wanted: string[] = []): Fault[] {
  try {
    parseConfigFile(text, "config-file.yaml", { services, wanted });
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.filter(({ severity }) => severity === "error");
    throw error;
  }
  return [];
}

it.each(BROKEN)("refuses %s, at its line, and says what to write", (rule, text) => {
  const marks = text.split("\n").flatMap((content, index) => {
    const [, said] = content.split("#! ");
    return said === undefined ? [] : said.split(" & ").map((part) => [index + 1, part] as const);
  });
  const faults = faultsOf(text, rule.startsWith("a wanted variable") ? ["API_KEY"] : []);
  expect(faults.map(({ line }) => line)).toEqual(marks.map(([line]) => line));
  for (const [index, [, said]] of marks.entries()) expect(faultLine(faults[index]!)).toContain(said);
});

it.each(ACCEPTED)("accepts %s", (_, text, expected, warnings) => {
  const { config, warnings: told } = parseConfigFile(text, "c.yaml", { services });
  expect(config).toMatchObject(expected);
  expect(told.map(({ line, path }) => `${line} ${path.split(".").at(-1)}`)).toEqual(warnings);
});

it("accepts the project's own file, which is the seed's", () => {
  const { config } = parseConfigFile(readFileSync(`${ROOT}config-file.yaml`, "utf8"), "c.yaml", { services });
  expect(config.services?.SDXLControlNetService?.config_overrides).toEqual({
    traffic: { timeout: 700, max_concurrency: 20, external_queue: true },
    resources: { cpu: 0.4, memory: 2 ** 30 },
    workers: { count: 1, gpus: [1] },
  });
});

it("counts the columns, and names the file, the field and the kind", () => {
  const [fault] = faultsOf('services:\n  ControlNet: { scaling: { max_replicas: "2" } }');
  expect(fault).toEqual({
    severity: "error",
    file: "config-file.yaml",
    line: 2,
    column: 42,
    path: "services.ControlNet.scaling.max_replicas",
    message: 'must be a whole number from 1, found "2"',
    hint: "write 2 without quotes",
  });
});

it("puts a fault that another found where the file has the field, or what is around it", () => {
  const text = "services:\n  ControlNet:\n    instance_type: gpu.zz.1\n";
  const { fault } = parseConfigFile(text, "c.yaml", { services });
  const at = (path: string[], options?: Parameters<typeof fault>[2]) =>
    faultLine(fault(["services", "ControlNet", ...path], "will not do", options));
  expect(at(["instance_type"])).toBe("c.yaml:3:20: services.ControlNet.instance_type: will not do");
  expect(at(["scaling", "min_replicas"], { severity: "warning", hint: "write 1", on: "key" })).toBe(
    "c.yaml:2:3: warning: services.ControlNet.scaling.min_replicas: will not do; write 1",
  );
});

it("tells a fault in an anchor once, where it stands", () => {
  const text =
    "x-base: &base\n  scaling: { max_replica: 1 }\nservices:\n  ControlNet: *base\n  SDXLControlNetService: { <<: *base }";
  expect(faultsOf(text).map(({ line, column }) => [line, column])).toEqual([[2, 14]]);
});

it("does not grow aliases of aliases without end", () => {
  const levels = Array.from(
    { length: 12 },
    (_, level) => `  l${level + 1}: &l${level + 1} [${`*l${level}, `.repeat(10)}]`,
  );
  const faults = faultsOf(`x-bomb:\n  l0: &l0 [a]\n${levels.join("\n")}`);
  expect(faults.map(({ message }) => message)).toEqual(["anchors and aliases hold themselves, or too much"]);
  expect(faultsOf("x-a: &a [*a]")).toHaveLength(1);
});
