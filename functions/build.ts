/** Bundles handlers as SST does (`nodejs: { minify: true, splitting: true, install: ["sharp"] }`): for tests and a look. */
import { fileURLToPath } from "node:url";
import { build, type Metafile } from "esbuild";

/** This project's handlers by name: each is the function of a service, of its queue or of its dead-letter queue. */
export const HANDLERS: Record<string, string> = {
  controlnet: "functions/handlers/controlnet.ts",
  "controlnet-queue": "functions/handlers/controlnet-queue.ts",
  "controlnet-dead-letters": "functions/handlers/controlnet-dead-letters.ts",
  "sdxl-controlnet-dead-letters": "functions/handlers/sdxl-controlnet-dead-letters.ts",
};

/** Packages with native code: they are installed beside the bundle, for the function's architecture. */
const INSTALLED = ["sharp"];

/** CommonJS packages ask for Node's own modules with `require`. Names that no package uses: it is minified with them. */
const BANNER = `import { createRequire as tandemCreateRequire } from "node:module";
const require = tandemCreateRequire(import.meta.url);`;

/**
 * Writes `<name>.mjs` for each handler, and chunks: what is loaded with `import()` is in files of its own.
 * @returns what went into which file, and its bytes.
 */
export async function bundleHandlers(outdir: string, handlers: Record<string, string> = HANDLERS): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: handlers,
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
