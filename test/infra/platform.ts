/** SST's components of the pinned version, as one module: `sst`, `aws` and the `$` functions as globals, as `sst deploy` has them. */
import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import { preparePlatform } from "#infra/platform/prepare.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** For hooks that prepare the platform: what it may take by itself, and then some. */
export const PREPARED_IN_MS = 6 * 60_000;

/** As SST's pkg/js/js.go has them: what its bundle of sst.config.ts leaves to `.sst/platform/node_modules`. */
export const EXTERNAL = [
  "@pulumi/*",
  "undici",
  "@pulumiverse/*",
  "@sst-provider/*",
  "@aws-sdk/*",
  "esbuild",
  "archiver",
  "glob",
  "vite",
];

export const BANNER = `
import { createRequire as topLevelCreateRequire } from 'module';
const require = topLevelCreateRequire(import.meta.url);
import { fileURLToPath as topLevelFileUrlToPath, URL as topLevelURL } from "url"
const __filename = topLevelFileUrlToPath(import.meta.url)
const __dirname = topLevelFileUrlToPath(new topLevelURL(".", import.meta.url))
`;

const ENTRY = `
export * as pulumi from "@pulumi/pulumi";
export * as aws from "@pulumi/aws";
export * as sst from "./src/components/index.ts";
export * as shim from "./src/shim/run.js";
export { run } from "./src/auto/run.ts";
`;

/** SST ends names in eight random letters, which it keeps in its state: here they are always the same. */
const steadyNames: Plugin = {
  name: "steady-names",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^crypto$/ }, ({ importer }) =>
      importer.endsWith("naming.ts") ? { path: "steady", namespace: "steady-names" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "steady-names" }, () => ({
      contents: `import crypto from "node:crypto"; export default { ...crypto, randomBytes: (size) => Buffer.alloc(size) };`,
    }));
  },
};

/** What the harness uses of `@pulumi/pulumi`. */
export interface Pulumi {
  readonly runtime: {
    setMocks(mocks: Mocks, project: string, stack: string, preview: boolean): Promise<void>;
    getMonitor(): Monitor;
    runInPulumiStack(program: () => Promise<unknown>): Promise<Record<string, unknown> | undefined>;
    waitForRPCs(): Promise<void>;
    registerStackTransformation(transformation: (args: TransformationArgs) => undefined): void;
  };
  readonly Output: {
    readonly prototype: {
      apply(this: unknown, callback: (value: unknown) => unknown, runWithUnknowns?: boolean): unknown;
    };
  };
}

export interface Mocks {
  newResource(args: { type: string; name: string; inputs: Inputs; custom?: boolean }): { id: string; state: Inputs };
  call(args: { token: string; inputs: Inputs }): Inputs;
}

export type Inputs = Record<string, unknown>;

/** The mocked engine: a program's requests come here. */
export interface Monitor {
  registerResource(request: RegisterRequest, callback: unknown): Promise<void>;
}

export interface RegisterRequest {
  getObject(): { toJavaScript(): Inputs } | undefined;
  getParent(): string;
  getCustom(): boolean;
  getProtect(): boolean | undefined;
  getRetainondelete(): boolean | undefined;
  getDeletebeforereplace(): boolean;
  getIgnorechangesList(): string[];
  getReplaceonchangesList(): string[];
  getDependenciesList(): string[];
}

export interface TransformationArgs {
  readonly type: string;
  readonly name: string;
  readonly resource: object;
}

export interface Platform {
  readonly folder: string;
  readonly pulumi: Pulumi;
  readonly aws: object;
  readonly sst: object;
  /** The `$` functions. */
  readonly shim: object;
  /** Runs a program with SST's own transformations around it. */
  readonly run: (program: () => unknown) => Promise<Inputs>;
}

let loaded: Promise<Platform> | undefined;

/** Once a process: about 2 s. `$app`, `$cli` and `$dev` must be global before. */
export function loadPlatform(): Promise<Platform> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Platform> {
  const folder = await preparePlatform();
  const outfile = join(folder, "tandem-harness.mjs");
  if (!existsSync(outfile)) {
    const draft = `${outfile}.${process.pid}`;
    await build({
      stdin: { contents: ENTRY, resolveDir: folder, loader: "ts" },
      outfile: draft,
      bundle: true,
      format: "esm",
      platform: "node",
      mainFields: ["module", "main"],
      external: EXTERNAL,
      banner: { js: BANNER },
      plugins: [steadyNames],
      logLevel: "error",
    });
    await rename(draft, outfile);
  }
  const { prepareStackTrace } = Error;
  const platform = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Omit<Platform, "folder">;
  // Pulumi reads source maps in its own way, and vitest finds inline snapshots by line.
  Error.prepareStackTrace = prepareStackTrace;
  return { ...platform, folder };
}
