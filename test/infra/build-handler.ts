import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { build } from "esbuild";
import type { BuildInput } from "./cli-server.ts";
import { BANNER, ROOT } from "./platform.ts";

const TARGETS: Record<string, string> = { "nodejs22.x": "es2023", "nodejs24.x": "es2024" };

/** What SST keeps out of every bundle, and installs beside it: pkg/runtime/node/build.go. */
const NATIVE = ["sharp", "pg-native"];

interface NodeProperties {
  readonly minify?: boolean;
  readonly splitting?: boolean;
  readonly install?: readonly string[] | Record<string, string>;
  readonly banner?: string;
  readonly esbuild?: {
    readonly external?: string[];
    readonly keepNames?: boolean;
    readonly sourcemap?: boolean;
    readonly define?: Record<string, string>;
  };
}

interface Built {
  readonly handler: string;
  readonly out: string;
  readonly errors: readonly string[];
  readonly sourcemaps: readonly string[];
}

const built = new Map<string, Promise<Built>>();

/** Bundles a handler as SST does, each once a process; without the `npm install` of native packages beside it. */
export function buildHandler({ handler, runtime, properties }: BuildInput): Promise<Built> {
  const key = JSON.stringify([handler, runtime, properties]);
  const known = built.get(key) ?? bundle(handler, runtime, properties as NodeProperties);
  built.set(key, known);
  return known;
}

async function bundle(handler: string, runtime: string, properties: NodeProperties): Promise<Built> {
  const { minify = false, splitting = false, install = [], banner = "", esbuild = {} } = properties;
  const out = await mkdtemp(join(tmpdir(), "tandem-handler-"));
  const packages = Array.isArray(install) ? install : Object.keys(install);
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: { bundle: handler.replace(/\.[^.]+$/, ".ts") },
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting,
    minify,
    keepNames: esbuild.keepNames ?? true,
    format: "esm",
    platform: "node",
    target: TARGETS[runtime] ?? "es2023",
    mainFields: ["module", "main"],
    sourcemap: esbuild.sourcemap ?? true,
    external: [...NATIVE, ...packages, ...(esbuild.external ?? [])],
    define: esbuild.define ?? {},
    banner: { js: `${BANNER}${banner}` },
    logLevel: "silent",
  }).catch((error: { errors: { text: string }[] }) => error);
  return { handler: `bundle${extname(handler)}`, out, errors: result.errors.map(({ text }) => text), sourcemaps: [] };
}
