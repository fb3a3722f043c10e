import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What a file imports: paths from the root for ours, package names for others'. */
export type Graph = Map<string, string[]>;

/** Import and export statements with a source, `import()` of a literal, and `new URL("./x.ts", import.meta.url)`. */
const SPECIFIERS =
  /(?:^|[\s;}])(?:import|export)\s[^;"'()]*?from\s*["']([^"']+)["']|(?:^|[\s;}])import\s*["']([^"']+)["']|\bimport\s*\(\s*["']([^"']+)["']\s*\)|new URL\(\s*["'](\.[^"']+\.ts)["']\s*,\s*import\.meta\.url/gm;

function importsOf(file: string, source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  return [...code.matchAll(SPECIFIERS)].map((match) => {
    const specifier = match.slice(1).find((group) => group !== undefined)!;
    if (specifier.startsWith(".")) return normalize(join(dirname(file), specifier));
    if (specifier.startsWith("#")) return specifier.slice(1);
    return specifier;
  });
}

/** The files by their paths from the root, as their sources say. */
export function graphOf(files: Record<string, string>): Graph {
  return new Map(Object.entries(files).map(([file, source]) => [file, importsOf(file, source)]));
}

/** Everything that is ours, by its path from the root. */
export function sources(): Record<string, string> {
  const files = ["bin", "functions", "gpu-worker", "infra", "shared"].flatMap((room) =>
    readdirSync(ROOT + room, { recursive: true, encoding: "utf8" }).map((file) => `${room}/${file}`),
  );
  const code = [...files, "service.ts", "sst.config.ts"].filter(
    (file) => /\.(ts|js|mjs)$/.test(file) && !file.includes("vision/kernel/"),
  );
  return Object.fromEntries(code.map((file) => [file, readFileSync(ROOT + file, "utf8")]));
}

/** Everything that a file reaches, itself included. */
export function reach(graph: Graph, from: string, seen = new Set<string>()): Set<string> {
  if (seen.has(from)) return seen;
  seen.add(from);
  for (const target of graph.get(from) ?? []) reach(graph, target, seen);
  return seen;
}
