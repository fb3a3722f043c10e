import { execFileSync } from "node:child_process";
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, matchesGlob } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DOCKERFILE = readFileSync(`${ROOT}gpu-worker/Dockerfile`, "utf8");
const IGNORED = readFileSync(`${ROOT}gpu-worker/Dockerfile.dockerignore`, "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

/** Whether a file of the project is in the image's context. */
export function isInContext(path: string): boolean {
  let within = true;
  for (const line of IGNORED) {
    const pattern = line.replace(/^!/, "");
    if (matchesGlob(path, pattern) || matchesGlob(path, `${pattern}/**`)) within = line.startsWith("!");
  }
  return within;
}

interface Stage {
  readonly base: string;
  readonly name: string;
  readonly instructions: readonly (readonly [word: string, rest: string])[];
}

/** The Dockerfile's stages. */
export function stages(): Stage[] {
  const lines = DOCKERFILE.replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n");
  const found: { base: string; name: string; instructions: [string, string][] }[] = [];
  for (const line of lines) {
    const [, word, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (!word) continue;
    const [, base, name] = (word === "FROM" && /^(\S+)(?: AS (\S+))?$/.exec(rest!)) || [];
    if (base) found.push({ base, name: name ?? "", instructions: [] });
    else found.at(-1)?.instructions.push([word, rest!]);
  }
  return found;
}

/**
 * Makes what a stage of the Dockerfile has in /app, in a folder: its COPY instructions, what its context leaves out left
 * out, and the packages that `npm ci --omit=dev` installs.
 */
export function makeImageFolder(folder: string, target: "" | "cpu" = ""): void {
  const all = stages();
  const build = (name: string): void => {
    const stage = all.find((one) => one.name === name)!;
    if (all.some((one) => one.name === stage.base)) build(stage.base);
    for (const [word, rest] of stage.instructions) {
      // The stages that install packages of the system do so outside of /app.
      if (word === "RUN" && name === "project") execFileSync("sh", ["-c", rest], { cwd: folder });
      if (word === "COPY") copy(rest);
    }
  };
  const copy = (rest: string): void => {
    const words = rest.split(/\s+/);
    const from = words[0]!.startsWith("--from=") ? words.shift()!.slice(7) : undefined;
    const destination = words.pop()!;
    if (from === "packages") {
      if (destination === "node_modules") installProduction(join(folder, "node_modules"));
    } else if (from !== undefined) build(from);
    else for (const source of words) take(source.replace(/^\$\{BAKE_MODEL\}$/, "gpu-worker/model"), destination);
  };
  const take = (source: string, destination: string): void => {
    const intoFolder = destination.endsWith("/");
    if (statSync(join(ROOT, source)).isFile()) {
      if (!isInContext(source)) throw new Error(`${source} is copied, and the context leaves it out`);
      link(ROOT + source, join(folder, destination, intoFolder ? source : ""));
    } else linkTree(ROOT + source, join(folder, destination), (path) => isInContext(`${source}/${path}`));
  };
  build(target);
}

function installProduction(folder: string): void {
  const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, "utf8")) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  for (const [path, { dev, devOptional }] of Object.entries(packages)) {
    if (path === "" || dev || devOptional) continue;
    const isThere = statSync(ROOT + path, { throwIfNoEntry: false });
    // Packages of other platforms are not.
    if (isThere) linkTree(ROOT + path, join(dirname(folder), path), (inside) => !/^node_modules(\/|$)/.test(inside));
  }
}

function linkTree(from: string, to: string, wanted: (path: string) => boolean): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name);
    const path = full.slice(from.length + 1);
    if (entry.isFile() && wanted(path)) link(full, join(to, path));
  }
}

function link(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
