/** Bundles handlers as SST does (`nodejs: { minify: true, splitting: true, install: ["sharp"] }`): for tests and a look. */
import { fileURLToPath } from "node:url";
import { build, type Metafile } from "esbuild";

/** Handlers of this project's functions, by name. */
export const HANDLERS = ["controlnet", "controlnet-queue", "controlnet-dead-letters"] as const;

/** Packages with native code: they are installed beside the bundle, for the function's architecture. */
const INSTALLED = ["sharp"];

/** CommonJS packages ask for Node's own modules with `require`. Names that no package uses: it is minified with them. */
const BANNER = `import { createRequire as tandemCreateRequire } from "node:module";
const require = tandemCreateRequire(import.meta.url);`;

/**
 * Writes `<name>.mjs` for each handler, and chunks: what is loaded with `import()` is in files of its own.
 * @returns what went into which file, and its bytes.
 */
export async function bundleHandlers(outdir: string, names: readonly string[] = HANDLERS): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: names.map((name) => ({ in: `functions/handlers/${name}.ts`, out: name })),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    minify: true,
    keepNames: true,
    format: "esm",
    platform: "node",
    target: "esnext",
    mainFields: ["module", "main"],
    external: INSTALLED,
    banner: { js: BANNER },
    metafile: true,
    logLevel: "error",
  });
  return metafile;
}
