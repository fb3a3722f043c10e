/** Bundles handlers as SST does (`nodejs: { minify: true, splitting: true, install: ["sharp"] }`): for tests and a look. */
import { fileURLToPath } from "node:url";
import { build, type Metafile, type Plugin } from "esbuild";
import allPlugins from "./bundle-plugins.mjs";

/** This project's handlers by name: each is the function of a service, of its queue or of its dead-letter queue, or takes calls off canaries. */
export const HANDLERS: Record<string, string> = {
  controlnet: "functions/handlers/controlnet.ts",
  "controlnet-queue": "functions/handlers/controlnet-queue.ts",
  "controlnet-dead-letters": "functions/handlers/controlnet-dead-letters.ts",
  "sdxl-controlnet-dead-letters": "functions/handlers/sdxl-controlnet-dead-letters.ts",
  "canary-rollback": "functions/handlers/canary-rollback.ts",
};

/**
 * Packages that are installed beside the bundle: sharp for its native code; pino is loaded with the first line that is
 * logged, and a start would read it with everything else.
 */
const INSTALLED = ["sharp", "pino"];

/** CommonJS packages ask for Node's own modules with `require`. Names that no package uses: it is minified with them. */
const BANNER = `import { createRequire as tandemCreateRequire } from "node:module";
const require = tandemCreateRequire(import.meta.url);`;

/**
 * Writes `<name>.mjs` for each handler, and chunks: what is loaded with `import()` is in files of its own. Handlers share
 * no chunk: each is a function of its own.
 * @returns what went into which file, and its bytes.
 */
export async function bundleHandlers(
  outdir: string,
  handlers: Record<string, string> = HANDLERS,
  plugins: Plugin[] = allPlugins,
): Promise<Metafile> {
  const all: Metafile = { inputs: {}, outputs: {} };
  for (const [name, path] of Object.entries(handlers)) {
    const { metafile } = await bundle(outdir, name, path, plugins);
    Object.assign(all.inputs, metafile.inputs);
    Object.assign(all.outputs, metafile.outputs);
  }
  return all;
}

function bundle(outdir: string, name: string, path: string, plugins: Plugin[]) {
  return build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: { [name]: path },
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    minify: true,
    keepNames: false,
    format: "esm",
    platform: "node",
    target: "esnext",
    mainFields: ["module", "main"],
    external: INSTALLED,
    plugins,
    banner: { js: BANNER },
    metafile: true,
    logLevel: "error",
  });
}
