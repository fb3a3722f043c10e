import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** The module of a project that knows how its handlers are bundled. */
const BUILD = "functions/build.ts";

interface Build {
  bundleHandlers(outdir: string, handlers: Record<string, string>): Promise<unknown>;
}

/** A function's name: its handler's file. */
export function nameOf(handlerFile: string): string {
  return basename(handlerFile, ".ts");
}

/**
 * Bundles handlers as the project's functions/build.ts does, until this process ends.
 * @param files relative to the project's folder.
 * @returns the folder with `<name>.mjs` for each, and the project's packages.
 * @throws Error where the project has no such module, esbuild's where the handlers cannot be bundled.
 */
export async function bundle(project: string, files: readonly string[]): Promise<string> {
  const path = join(project, BUILD);
  const build = existsSync(path) ? ((await import(pathToFileURL(path).href)) as Partial<Build>) : {};
  if (!build.bundleHandlers)
    throw new Error(
      `${path} must export bundleHandlers(outdir, handlers), which writes <name>.mjs for each {name: file}: Tandem's own does`,
    );
  const folder = mkdtempSync(join(tmpdir(), "tandem-lambda-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  await build.bundleHandlers(folder, Object.fromEntries(files.map((file) => [nameOf(file), file])));
  // Packages with native code are beside a bundle.
  const packages = packagesOf(project);
  if (packages) await symlink(packages, join(folder, "node_modules"));
  return folder;
}

function packagesOf(folder: string): string | undefined {
  const packages = join(folder, "node_modules");
  if (existsSync(packages)) return packages;
  const parent = dirname(folder);
  return parent === folder ? undefined : packagesOf(parent);
}
