import type { z } from "zod";
import type { Path } from "./faults.ts";
import { fieldsOf, memberOf, written } from "./field.ts";

/** Words that people use for a field whose own name is nothing like it. */
const SYNONYMS = new Map([
  ["environment", "envs"],
  ["env_vars", "envs"],
  ["variables", "envs"],
  ["region", "cluster"],
  ["replicas", "min_replicas"],
  ["instances", "min_replicas"],
  ["machine", "instance_type"],
  ["instance", "instance_type"],
  ["auth", "access_authorization"],
  ["tags", "labels"],
  ["queue", "external_queue"],
  ["processes", "workers"],
]);

/** The word of a list that is meant by one that is misspelt or in another case. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const plain = simplified(word);
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: distanceOf(plain, simplified(candidate)) }))
    .sort((one, other) => one.distance - other.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(1, Math.floor(plain.length / 3)) ? best.candidate : undefined;
}

/** The one word of a list that another is a part of. */
function containing(part: string, candidates: readonly string[]): string | undefined {
  const found = candidates.filter((candidate) => part.length > 2 && simplified(candidate).includes(simplified(part)));
  return found.length === 1 ? found[0] : undefined;
}

/** What to write instead of a field that the mapping at `path` does not have. */
export function hintForKey(root: z.core.$ZodType, path: Path, key: string): string {
  let schema: z.core.$ZodType | undefined = root;
  for (const part of path) schema = schema && memberOf(schema, part);
  const names = Object.keys(shapeOf(schema));
  const synonym = SYNONYMS.get(key);
  const here = nearest(key, names) ?? names.find((name) => name === synonym);
  if (here) return `did you mean ${here}?`;
  const place = placeOf(root, path, key) ?? (synonym && placeOf(root, path, synonym));
  if (place) return place;
  const whole = containing(key, names);
  if (whole) return `did you mean ${whole}?`;
  return `the fields here are ${names.join(", ")}`;
}

/** Where in the file a field of that name belongs, in the nearest mapping to `path`. */
function placeOf(root: z.core.$ZodType, path: Path, key: string): string | undefined {
  const service = path[0] === "services" ? path[1] : undefined;
  const places = fieldsOf(root)
    .map((field) => field.path.split("."))
    .filter((parts) => !parts.some((part) => part.endsWith("[]")) && parts[0] !== "canary")
    .map((parts) => parts.map((part) => (part === "<Name>" && service !== undefined ? String(service) : part)));
  const named = places.filter((parts) => simplified(parts.at(-1)!) === simplified(key));
  const common = (parts: string[]) => parts.findIndex((part, index) => part !== path[index]);
  const best = named.sort((one, other) => common(other) - common(one) || one.length - other.length)[0];
  if (!best) return undefined;
  const group = best.slice(0, -1).join(".");
  return `${best.at(-1)} belongs ${group ? `under ${group}` : "at the top of the file"}`;
}

function shapeOf(schema: z.core.$ZodType | undefined): Readonly<Record<string, unknown>> {
  if (!schema) return {};
  const inner = written(schema) as { def?: z.core.$ZodTypeDef; shape?: Record<string, unknown> };
  if (inner.shape) return inner.shape;
  const { options = [] } = inner.def as { options?: z.core.$ZodType[] };
  return options.map(shapeOf).find((shape) => Object.keys(shape).length > 0) ?? {};
}

function simplified(word: string): string {
  return word.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** A word that only lacks its end is nearer than others. */
function distanceOf(word: string, candidate: string): number {
  return editDistance(word, candidate) - (candidate.startsWith(word) ? 0.5 : 0);
}

/** Levenshtein's: letters to add, drop or change, and neighbours swapped count as one. */
function editDistance(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= one.length; row++) {
    const above = rows[row - 1]!;
    const line = [row];
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1];
      const swapped = row > 1 && one[row - 2] === other[column - 1] && one[row - 1] === other[column - 2];
      const change = above[column - 1]! + (same ? 0 : 1);
      const swap = swapped && column > 1 ? rows[row - 2]![column - 2]! + 1 : Number.POSITIVE_INFINITY;
      line.push(Math.min(line[column - 1]! + 1, above[column]! + 1, change, swap));
    }
    rows.push(line);
  }
  return rows[one.length]![other.length]!;
}
