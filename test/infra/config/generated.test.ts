import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { bentofile } from "#shared/config/bentofile.ts";
import { configFile } from "#shared/config/config-file.ts";
import { fieldsOf } from "#shared/config/field.ts";
import { generated } from "#shared/config/generate.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const files = await generated();

it.each([...files])("%s is what the schemas make of it", (path, text) => {
  const present = readFileSync(path, "utf8");
  const read = (content: string): unknown => (path.href.endsWith(".json") ? JSON.parse(content) : content);
  expect(read(present)).toEqual(read(text));
});

it.each([
  ["config-file.yaml", configFile],
  ["bentofile.yaml", bentofile],
])("docs/config.md has a row for every field of %s, and no other", (name, schema) => {
  const part = readFileSync(`${ROOT}docs/config.md`, "utf8").split(`<!-- fields of ${name} -->`)[1]!;
  let group = "";
  const rows = part
    .split(`<!-- end of ${name} -->`)[0]!
    .split("\n")
    .flatMap((line) => {
      group = /^### `(.+)`$/.exec(line)?.[1] ?? group;
      const field = /^\| `([^`]+)` \|/.exec(line)?.[1];
      return field === undefined ? [] : [group ? `${group}.${field}` : field];
    });
  expect(rows.sort()).toEqual(
    fieldsOf(schema)
      .map(({ path }) => path)
      .sort(),
  );
});

it("has the fields that the schema anchor lists", () => {
  const paths = fieldsOf(configFile).map(({ path }) => path);
  for (const field of [
    "cold_start_timeout",
    "extras",
    "scaling.policy.scale_up_stabilization_window",
    "config_overrides.grpc",
    "aws.fallback_instance_types",
  ])
    expect(paths).toContain(`services.<Name>.${field}`);
});

it("gives editors the rules: closed mappings, words, x- keys, numbers as values", () => {
  const schema = JSON.parse(readFileSync(`${ROOT}shared/config/config-file.schema.json`, "utf8"));
  expect(schema.additionalProperties).toBe(false);
  expect(Object.keys(schema.patternProperties)).toEqual(["^x-"]);
  expect(schema.properties.envs.items.properties.value.type).toEqual(["string", "number"]);
  const service = schema.properties.services.additionalProperties.properties;
  expect(service.deployment_strategy.enum).toContain("RampedSlowRollout");
  const [, memory] = service.config_overrides.properties.resources.properties.memory.anyOf;
  expect(["1Gi", "500MiB", "2G", "lots", "400m"].filter((text) => new RegExp(memory.pattern).test(text))).toHaveLength(
    3,
  );
  expect(service.scaling.properties.min_replicas).toMatchObject({ type: "integer", minimum: 0 });
});
