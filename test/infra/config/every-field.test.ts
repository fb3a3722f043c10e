import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import type { z } from "zod";
import { bentofile } from "#shared/config/bentofile.ts";
import { configFile } from "#shared/config/config-file.ts";
import { ConfigError, faultLine } from "#shared/config/faults.ts";
import { fieldsOf } from "#shared/config/field.ts";
import { parseBentofile, parseConfigFile } from "#shared/config/load.ts";

/** Fields whose mapping is anyone's: nothing in it is looked at. */
const FREE =
  /(\.extras|\.ssl|\.grpc|\.options|\.zipkin|\.jaeger|\.otlp\.http|^args|^labels|^docker\.env|^services|\.services|\.versions)$/;

/** A file with one value at a field's path, and what must be around it. */
function fileWith(path: string, value: unknown): string {
  const parts = path.split(".");
  const nest = ([part, ...rest]: string[]): unknown => {
    if (part === undefined) return value;
    const name = part === "<Name>" ? "ControlNet" : part.replace("[]", "");
    return { [name]: part.endsWith("[]") ? [nest(rest)] : nest(rest) };
  };
  return stringify(nest(parts));
}

function faultsOf(parse: (text: string) => unknown, text: string): string[] {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.filter(({ severity }) => severity === "error").map(faultLine);
  }
}

const cases = (schema: z.ZodType): string[] => fieldsOf(schema).map(({ path }) => path);

describe.each<[string, z.ZodType, (text: string) => unknown]>([
  ["config-file.yaml", configFile, (text) => parseConfigFile(text, "config-file.yaml", { services: ["ControlNet"] })],
  ["bentofile.yaml", bentofile, parseBentofile],
])("every field of %s", (name, schema, parse) => {
  it.each(cases(schema).filter((path) => !FREE.test(path)))("%s takes no mapping of something else", (path) => {
    const faults = faultsOf(parse, fileWith(path, { zzqx: { deeper: [1] } }));
    const own = path.replaceAll("<Name>", "ControlNet").replaceAll("[]", "[0]");
    expect(faults.filter((fault) => fault.includes(`: ${own}`))).not.toEqual([]);
  });

  it.each(cases(schema))("%s is told where it is, whatever stands there", (path) => {
    for (const value of [
      "@@ ##",
      -1.5,
      [[]],
      [null, { zzqx: 1 }],
      true,
      "",
      Number.NaN,
      { __proto__x: null },
      new Date(0),
    ])
      for (const fault of faultsOf(parse, fileWith(path, value)))
        expect(fault).toMatch(new RegExp(`^${name}:\\d+:\\d+: \\S`));
  });

  it.each(cases(schema))("%s is missed under a name that is nearly its own", (path) => {
    const last = path.split(".").at(-1)!.replace("[]", "");
    const faults = faultsOf(parse, fileWith(path.replace(new RegExp(`${last}(\\[\\])?$`), `${last}s_`), "x"));
    expect(faults.join("\n")).toMatch(/unknown field|no such service/);
  });
});
