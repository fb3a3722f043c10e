import * as z from "zod";
import { type Field, fieldsOf, written } from "./field.ts";

/** Groups that have a table of their own, the rest stands in that of what is around it. */
const GROUPS = [
  "services.<Name>",
  "services.<Name>.scaling",
  "services.<Name>.config_overrides",
  "services.<Name>.config_overrides.traffic",
  "services.<Name>.config_overrides.resources",
  "services.<Name>.config_overrides.logging",
  "services.<Name>.config_overrides.tracing",
  "services.<Name>.config_overrides.http",
  "services.<Name>.aws",
  "canary",
  "aws",
  "python",
  "conda",
  "docker",
];

/** The fields of a file as tables in Markdown, a table a group. */
export function fieldTables(schema: z.ZodType): string {
  const fields = fieldsOf(schema);
  const groupOf = ({ path }: Field): string => GROUPS.findLast((group) => path.startsWith(`${group}.`)) ?? "";
  return [...Map.groupBy(fields, groupOf)].map(([group, members]) => table(group, members, fields)).join("\n\n");
}

function table(group: string, members: readonly Field[], all: readonly Field[]): string {
  const heading = [
    ...(group ? [`### \`${group}\``, ""] : []),
    "| field | what it is | default | meaning | `tandem serve` | on AWS |",
    "| --- | --- | --- | --- | --- | --- |",
  ];
  const rows = members.map((field) => {
    const { path, about, warning, here, cloud } = field;
    const told = all.some((outer) => outer.warning && path.startsWith(`${outer.path}.`));
    const meaning = warning && !told ? `${about}. **Warned about**: ${warning}` : about;
    const name = group ? path.slice(group.length + 1) : path;
    const cells = [`\`${name}\``, typeText(field.schema), field.default ?? "", meaning, here, cloud];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return [...heading, ...rows].join("\n");
}

/** What may be written there, in a few words. */
function typeText(schema: Field["schema"]): string {
  const inner = written(schema);
  if (inner instanceof z.ZodBoolean) return "boolean";
  if (inner instanceof z.ZodNumber) return inner.format === "safeint" ? "whole number" : "number";
  if (inner instanceof z.ZodArray) return `list of ${typeText(inner.def.element as z.ZodType)}`;
  if (inner instanceof z.ZodObject || inner instanceof z.ZodRecord) return "mapping";
  if (inner instanceof z.ZodEnum) return inner.options.map((word) => `\`${word}\``).join(", ");
  if (inner instanceof z.ZodLiteral) return [...inner.values].map((value) => `\`${value}\``).join(", ");
  if (inner instanceof z.ZodUnion) return [...new Set(inner.def.options.map(typeText))].filter(Boolean).join(" or ");
  return inner instanceof z.ZodString ? "text" : "";
}
