import type * as z from "zod";
import type { Path } from "./faults.ts";
import { hintForKey, nearest } from "./suggest.ts";

/** One thing that a schema refuses, in words. */
export interface Explained {
  path: Path;
  on: "key" | "value";
  message: string;
  hint?: string | undefined;
}

/** What zod found, a fault an unknown key and one for every other thing. */
export function explain(issue: z.core.$ZodIssue, value: unknown, root: z.core.$ZodType): Explained[] {
  const path = issue.path as Path;
  const here = valueAt(value, path);
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => {
      const hint = hintForKey(root, path, key);
      return { path: [...path, key], on: "key", message: "unknown field", hint };
    });
  if (issue.code === "invalid_union") {
    const inside = issue.errors.find((issues) => issues.some((inner) => inner.path.length > 0));
    if (inside) return inside.flatMap((inner) => explain({ ...inner, path: [...path, ...inner.path] }, value, root));
  }
  if (here === undefined && path.length > 0) return [missing(path, issue, value)];
  const params = issue.code === "custom" ? (issue.params as { hint?: string } | undefined) : undefined;
  const found = params ? `${show(here)} ${issue.message}` : `${issue.message}, found ${show(here)}`;
  return [{ path, on: "value", message: found, hint: params?.hint ?? hintForValue(issue, here) }];
}

function missing(path: Path, issue: z.core.$ZodIssue, value: unknown): Explained {
  const name = path.at(-1)!;
  if (typeof name === "number") return { path, on: "value", message: `${issue.message}, found nothing` };
  const present = name in (valueAt(value, path.slice(0, -1)) as object);
  return { path, on: "key", message: present ? `${issue.message}, found nothing` : "is missing" };
}

function hintForValue(issue: z.core.$ZodIssue, here: unknown): string | undefined {
  const wanted = wantedBy(issue);
  if (typeof here === "string") {
    if (wanted.types.has("number") && here.trim() !== "" && Number.isFinite(Number(here)))
      return `write ${here} without quotes`;
    if (wanted.types.has("boolean") && /^(true|false|yes|no|on|off)$/i.test(here))
      return `write ${here} without quotes`;
    const word = nearest(here, wanted.words);
    if (word) return `did you mean ${word}?`;
    if (issue.code === "invalid_type" && wanted.types.has("array")) return `write - ${here} on a line of its own`;
  }
  if (typeof here === "boolean" && wanted.types.has("string")) return "write the text in quotes";
  if (typeof here === "number" && wanted.types.has("string")) return `write "${here}" in quotes`;
  if (typeof here === "number" && wanted.types.has("int") && !Number.isInteger(here))
    return `write ${Math.floor(here)} or ${Math.ceil(here)}`;
  if (isMapping(here) && wanted.types.has("array")) return listHint(here, issue.message);
  if (issue.code === "invalid_format" && typeof here === "string") {
    const pattern = issue.pattern === undefined ? undefined : new RegExp(issue.pattern.replace(/^\/|\/$/g, ""));
    const better = here
      .toLowerCase()
      .trim()
      .replace(/[\s_]+/g, "-");
    if (better !== here && pattern?.test(better)) return `write ${better}`;
  }
  return undefined;
}

function listHint(mapping: Record<string, unknown>, message: string): string | undefined {
  const [first] = Object.entries(mapping);
  if (!first || typeof first[1] === "object") return "start each item with -";
  const [name] = /(?<=must be a list of )\w+(?= and value)/.exec(message) ?? [];
  return name && `write - ${name}: ${first[0]} and, below it, value: ${first[1]}`;
}

/** What kinds of value and which words an issue, or any branch of a union, would have taken. */
function wantedBy(issue: z.core.$ZodIssue): { types: Set<string>; words: string[] } {
  const types = new Set<string>();
  const words: string[] = [];
  const collect = (one: z.core.$ZodIssue): void => {
    if (one.code === "invalid_type") types.add(one.expected);
    if (one.code === "invalid_type" && "format" in one) types.add("int");
    if (one.code === "invalid_value") words.push(...one.values.filter((value) => typeof value === "string"));
    if (one.code === "invalid_union") for (const branch of one.errors) branch.forEach(collect);
  };
  collect(issue);
  return { types, words };
}

/** A value as it may stand in a message. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text;
}

/** What stands at a path, if anything. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, part) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, part)
        ? (inner as Record<string | number, unknown>)[part]
        : undefined,
    value,
  );
}

/** Whether it is a mapping. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A mapping, or an empty one in place of anything else: what is checked may be faulty. */
export function mapping(value: unknown): Record<string, unknown> {
  return isMapping(value) ? value : {};
}

/** A list, or an empty one in place of anything else. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
