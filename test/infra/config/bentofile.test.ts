import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type ConfigError, faultLine } from "#shared/config/faults.ts";
import { parseBentofile } from "#shared/config/load.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SERVICE = 'service: "service:ControlNet"\n';

describe("bentofile.yaml", () => {
  it("accepts the project's own, without a word", () => {
    const { config, warnings } = parseBentofile(readFileSync(`${ROOT}bentofile.yaml`, "utf8"));
    expect([config.service, warnings]).toEqual(["service:ControlNet", []]);
  });

  it.each<[string, string, object, string[]]>([
    ["labels that are numbers", "labels: { team: a, year: 2026 }", { labels: { team: "a", year: "2026" } }, []],
    [
      "variables without a value",
      "envs:\n  - name: KEY\n  - { name: B, value: 1.0, stage: build }",
      { envs: [{ name: "KEY" }, { name: "B", value: "1.0", stage: "build" }] },
      [],
    ],
    [
      "what a TypeScript build has no use for",
      "include: ['*.ts']\nconda: { pip: [a] }\nmodels: [a:b]\nargs: { x: 1 }\npython: { packages: [torch], lock_packages: no }",
      { python: { packages: ["torch"] } },
      ["conda", "models", "args", "python.lock_packages"],
    ],
    [
      "an image",
      'docker:\n  cuda_version: "12.8.1"\n  system_packages: [git]\n  env: [A=b]\n  distro: debian',
      { docker: { cuda_version: "12.8.1" } },
      ["docker.distro"],
    ],
    [
      "a base image, beside which others have no effect",
      "docker: { base_image: node, system_packages: [git] }",
      {},
      ["docker.system_packages"],
    ],
    ["models with a filter", "models:\n  - { tag: sdxl, filter: '*.onnx' }", {}, ["models"]],
  ])("accepts %s", (_, text, expected, warned) => {
    const { config, warnings } = parseBentofile(SERVICE + text);
    expect(config).toMatchObject(expected);
    expect(warnings.map(({ path }) => path)).toEqual(warned);
  });

  it.each([
    ["", "bentofile.yaml:1:1: service: is missing"],
    [
      "service: ControlNet",
      'bentofile.yaml:1:10: service: must be "module:Name", for example "service:ControlNet", found "ControlNet"',
    ],
    [`${SERVICE}lables: {}`, "bentofile.yaml:2:1: lables: unknown field; did you mean labels?"],
    [`${SERVICE}packages: [torch]`, "bentofile.yaml:2:1: packages: unknown field; packages belongs under python"],
    [`${SERVICE}python: { packages: torch }`, "write - torch on a line of its own"],
    [`${SERVICE}python: { packages: [a], requirements_txt: b }`, "stands beside requirements_txt; keep one of the two"],
    [`${SERVICE}docker: { cuda_version: 12.8 }`, 'found 12.8; write "12.8" in quotes'],
    [`${SERVICE}docker: { distro: Debian }`, "did you mean debian?"],
    [`${SERVICE}envs: [{ name: A, value: b, stage: run }]`, "must be all, build or runtime"],
    [`${SERVICE}envs: [{ name: A, value: b }, { name: A }]`, "A is given twice, first as item 1"],
  ])("refuses %s", (text, said) => {
    let fault = "";
    try {
      parseBentofile(text);
    } catch (error) {
      fault = (error as ConfigError).faults
        .filter(({ severity }) => severity === "error")
        .map(faultLine)
        .join("\n");
    }
    expect(fault).toContain(said);
  });

  it("tells which variables are wanted from config-file.yaml", () => {
    const text = `${SERVICE}envs:\n  - name: KEY\n  - { name: B, value: b }\n  - { name: C, stage: build }\n`;
    expect(parseBentofile(text).wanted).toEqual(["KEY"]);
  });
});
