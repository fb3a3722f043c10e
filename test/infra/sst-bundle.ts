/** The bundles that SST's command makes of sst.config.ts: pkg/js/js.go, pkg/project/{project,run}.go of 4.17. */
import { randomUUID } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { build, type Loader, type Plugin } from "esbuild";
import { BANNER, EXTERNAL, ROOT } from "./platform.ts";

const PLATFORM = join(ROOT, ".sst", "platform");

export interface SstBundle extends AsyncDisposable {
  readonly file: string;
}

/** What SST runs to ask for name, provider and removal policy. It prints a line that starts with `~j`. */
export function bundleApp(stage: string, config: string = join(ROOT, "sst.config.ts")): Promise<SstBundle> {
  return bundle({
    banner: "function $config(input) { return input }",
    define: { $input: JSON.stringify({ stage }) },
    plugins: [noStaticImports],
    code: `
import mod from '${config}';
if (mod.stacks || mod.config) {
  console.log("~v2")
  process.exit(0)
}
console.log("~j" + JSON.stringify(await mod.app({
  stage: $input.stage || undefined,
})))`,
  });
}

/** What Pulumi runs. */
export function bundleRun(app: object, cli: object): Promise<SstBundle> {
  return bundle({
    define: { $app: JSON.stringify(app), $cli: JSON.stringify(cli), $dev: "false" },
    inject: [join(PLATFORM, "src/shim/run.js")],
    plugins: [
      withGlobals(`import * as aws from "@pulumi/aws";\nimport * as sst from "${join(PLATFORM, "src/components")}";`),
    ],
    code: `
import { run } from "${join(PLATFORM, "src/auto/run.ts")}";
import mod from '${join(ROOT, "sst.config.ts")}';
const result = await run(mod.run);
export default result;`,
  });
}

interface Options {
  readonly code: string;
  readonly banner?: string;
  readonly define: Record<string, string>;
  readonly inject?: string[];
  readonly plugins: Plugin[];
}

async function bundle({ code, banner = "", define, inject = [], plugins }: Options): Promise<SstBundle> {
  const file = join(PLATFORM, `sst.config.test-${randomUUID()}.mjs`);
  await build({
    stdin: { contents: code, resolveDir: ROOT, sourcefile: "eval.ts", loader: "ts" },
    outfile: file,
    bundle: true,
    format: "esm",
    platform: "node",
    mainFields: ["module", "main"],
    nodePaths: [join(PLATFORM, "node_modules")],
    external: EXTERNAL,
    banner: { js: `${BANNER}${banner}` },
    define,
    inject,
    plugins,
    logLevel: "silent",
  });
  return { file, [Symbol.asyncDispose]: () => rm(file) };
}

const noStaticImports: Plugin = {
  name: "DisallowImports",
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ importer, kind }) =>
      importer.endsWith("/sst.config.ts") && kind === "import-statement"
        ? { errors: [{ text: "Your sst.config.ts has top level imports" }] }
        : undefined,
    );
  },
};

/** Puts the providers before every file that is not SST's own, dependencies included. */
function withGlobals(globals: string): Plugin {
  return {
    name: "InjectGlobals",
    setup({ onLoad }) {
      onLoad({ filter: /\.(js|ts|jsx|tsx)$/ }, async ({ path }) => {
        if (path.startsWith(join(ROOT, ".sst"))) return undefined;
        return { contents: `${globals}\n${await readFile(path, "utf8")}`, loader: "default" as Loader };
      });
    },
  };
}
