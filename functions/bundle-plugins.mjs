import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

/**
 * What esbuild asks about each module. SST hands a plugin nothing but `onResolve`, `onLoad` and `onEnd`, and holds each filter
 * against the word "undefined" (4.17.1): the paths are looked at here.
 */
const EVERY = { filter: /./ };

/**
 * esbuild plugin: puts everything that a handler loads at its start into one file. esbuild splits by who reaches a module:
 * what the start shares with each file that is loaded later would be a file of its own, thirty of them, each of which costs
 * a start 0.7 ms. With this, whatever is loaded later reaches the handler as well, and so all that the start loads. The
 * implementation, which the handler names as `() => import("...")`, is loaded at the start, too, and becomes part of it.
 */
const oneStartFile = {
  name: "one-start-file",
  setup(build) {
    let entry;
    build.onResolve(EVERY, ({ path, kind, resolveDir }) => {
      // package.json says that nothing here has side effects, and esbuild would drop an import for their sake.
      if (path === entry) return { path, sideEffects: true };
      if (kind !== "entry-point") return undefined;
      entry = resolve(resolveDir, path);
      return { path: entry, sideEffects: true };
    });
    build.onLoad(EVERY, async ({ path, namespace }) => {
      const [, loader] = /\.m?(ts|js)$/.exec(path) ?? [];
      if (!loader || namespace !== "file") return undefined;
      const source = await readFile(path, "utf8");
      if (path === entry) return { contents: withImplementations(source), loader };
      // Packages, too, or esbuild's own helpers would be a file of the start's that it shares with them alone.
      const isModule =
        loader === "ts" || (/^(import|export)\b/m.test(source) && !/\bexports\b|\brequire\s*\(/.test(source));
      return isModule ? { contents: `${source}\nimport ${JSON.stringify(entry)};\n`, loader } : undefined;
    });
  },
};

/** A handler's source with static imports in place of `() => import("...")`. */
function withImplementations(source) {
  const imports = [];
  const changed = source.replace(/=>\s*import\((["'][^"']+["'])\)/g, (_, path) => {
    const name = `tandemImplementation${imports.length}`;
    imports.push(`\nimport ${name} from ${path};`);
    return `=> Promise.resolve({ default: ${name} })`;
  });
  return changed + imports.join("");
}

/**
 * esbuild plugin: bundles sharp's JavaScript, and leaves its native part to the package that is installed beside the bundle.
 * sharp and what it needs are 80 files of CommonJS, and finding them takes most of its load. A plugin is asked before
 * esbuild's `external`, in which SST always has sharp.
 */
const sharpInside = {
  name: "sharp-inside",
  setup(build) {
    const require = createRequire(import.meta.url);
    build.onResolve(EVERY, ({ path }) => {
      if (path === "sharp") return { path: require.resolve("sharp") };
      return path.startsWith("@img/sharp-") ? { path, external: true } : undefined;
    });
    build.onLoad(EVERY, async ({ path }) => {
      if (!/[\\/]sharp[\\/]dist[\\/]sharp\.cjs$/.test(path)) return undefined;
      // sharp looks for a build from source first. There is none, and esbuild would look for its files.
      const source = await readFile(path, "utf8");
      return { contents: source.replaceAll(/require\(`\.\.\/src\/build\/.*?`\)/g, "undefined"), loader: "js" };
    });
  },
};

/** The part of zod's core that describes schemas in JSON Schema, and what else of it belongs to that. */
const DESCRIBING = ["json-schema-processors.js", "to-json-schema.js"];
const LATER = "zod-later";

/**
 * esbuild plugin: leaves zod's JSON Schema, an eighth of a start's code, to what describes a service when it is asked to.
 * zod's index names it, so that esbuild, which splits whole modules, puts it where the rest of zod is. With this,
 * `shared/http/json-schema.ts` has those modules by a name of their own, and nobody else has them unless he uses them.
 */
const zodDescribesLater = {
  name: "zod-describes-later",
  setup(build) {
    const core = dirname(createRequire(import.meta.url).resolve("zod/v4/core"));
    build.onResolve(EVERY, ({ path, importer, namespace }) => {
      if (path === "zod/v4/core" && /[\\/]shared[\\/]http[\\/]json-schema\.ts$/.test(importer))
        return { path: join(core, DESCRIBING[0]), namespace: LATER, sideEffects: false };
      if (namespace !== LATER) return undefined;
      const isPart = DESCRIBING.includes(path.replace("./", ""));
      return { path: join(core, path), sideEffects: false, ...(isPart && { namespace: LATER }) };
    });
    build.onLoad({ ...EVERY, namespace: LATER }, async ({ path, namespace }) => {
      if (namespace !== LATER) return undefined;
      return { contents: await readFile(path, "utf8"), loader: "js", resolveDir: core };
    });
  },
};

export default [zodDescribesLater, oneStartFile, sharpInside];
