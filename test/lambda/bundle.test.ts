import { execFile } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Metafile } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleHandlers, HANDLERS } from "#functions/build.ts";
import type { InitReport } from "./init-probe.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PICTURE = `${ROOT}examples/cat-face.png`;
const folder = mkdtempSync(join(tmpdir(), "tandem-bundle-"));
let metafile: Metafile;
beforeAll(async () => {
  metafile = await bundleHandlers(folder, { controlnet: HANDLERS.controlnet! });
  await symlink(`${ROOT}node_modules`, join(folder, "node_modules"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Outputs that are loaded with the handler itself. */
function atOnce(): Metafile["outputs"][string][] {
  const seen = new Set<string>();
  const walk = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { path: next, kind, external } of metafile.outputs[path]!.imports)
      if (!external && kind === "import-statement") walk(next);
  };
  walk(Object.keys(metafile.outputs).find((path) => basename(path) === "controlnet.mjs")!);
  return [...seen].map((path) => metafile.outputs[path]!);
}
const inputsOf = (outputs: Metafile["outputs"][string][]): string[] =>
  outputs.flatMap(({ inputs }) => Object.keys(inputs).filter((path) => inputs[path]!.bytesInOutput > 0));

describe("the entry's bundle", () => {
  test("has at most 1.2 MB, of which 124 kB are read at the start, in two files", () => {
    const bytes = (outputs: { bytes: number }[]): number => outputs.reduce((sum, output) => sum + output.bytes, 0);
    expect(bytes(Object.values(metafile.outputs))).toBeLessThanOrEqual(1_200_000);
    expect(bytes(atOnce())).toBeLessThanOrEqual(124_000);
    expect(atOnce().length).toBeLessThanOrEqual(2);
  });

  test("starts with Hono and the small zod, and no other package", () => {
    const packages = inputsOf(atOnce()).filter((path) => path.startsWith("node_modules/"));
    expect(new Set(packages.map((path) => path.split("/")[1]))).toEqual(new Set(["hono", "zod"]));
    expect(packages.filter((path) => path.startsWith("node_modules/zod/v4/classic/"))).toEqual([]);
  });

  test("starts with the implementation, without what few calls need", () => {
    const inputs = inputsOf(atOnce());
    expect(inputs).toContain("functions/services/controlnet.ts");
    const later = /json-schema|^functions\/vision\/|codec\/frame\.ts|task-answers|batcher|hono\/dist\/middleware\/cors/;
    expect(inputs.filter((path) => later.test(path))).toEqual([]);
    // Each module of Node's own that is imported takes a third of a millisecond, loaded or not; SST's banner has one.
    const imported = atOnce().flatMap(({ imports }) => imports.filter(({ kind }) => kind === "import-statement"));
    expect(imported.filter(({ external }) => external)).toEqual([]);
  });

  test("holds nothing of the model's, nor of the deployment's", () => {
    const inputs = Object.keys(metafile.inputs);
    expect(inputs).toContain("functions/services/controlnet.ts");
    expect(
      inputs.filter((path) => /onnxruntime|gpu-worker|observability\/(gpu|nvidia-smi)|\bsst\b|pulumi/.test(path)),
    ).toEqual([]);
  });

  test("has sharp in one file, and its native part outside", () => {
    const ofSharp = (input: string): boolean =>
      /sharp-module\.ts$|node_modules\/(sharp|semver|detect-libc|@img)\//.test(input);
    const outputs = Object.values(metafile.outputs).filter((output) => inputsOf([output]).some(ofSharp));
    expect(outputs.map((output) => inputsOf([output]).every(ofSharp))).toEqual([true]);
    expect(outputs[0]!.imports).toContainEqual(
      expect.objectContaining({ path: "@img/sharp-linux-arm64/sharp.node", external: true }),
    );
  });

  test("is for the version of sharp that SST installs beside it: package.json names one", async () => {
    const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(ROOT + path, "utf8"));
    const { dependencies } = (await json("package.json")) as { dependencies: Record<string, string> };
    expect(await json("node_modules/sharp/package.json")).toMatchObject({ version: dependencies.sharp });
  });

  test("has the AWS SDK in files of its own, and no language of zod's but one", () => {
    const sdk = /node_modules\/(@aws-sdk|@smithy)\//;
    expect(Object.keys(metafile.inputs).some((path) => sdk.test(path))).toBe(true);
    expect(inputsOf(atOnce()).filter((path) => sdk.test(path))).toEqual([]);
    expect(inputsOf(atOnce()).filter((path) => /zod\/v4\/locales\/(?!en\.)/.test(path))).toEqual([]);
  });

  test("starts without the AWS SDK, sharp or a connection; sharp comes with the first picture", async () => {
    const queue = "https://sqs.us-east-1.amazonaws.com/123456789012";
    const services = {
      ControlNet: { transport: "sqs", queueUrl: `${queue}/ControlNet`, storeUrl: "s3://tandem-bucket" },
      SDXLControlNetService: { transport: "sqs", queueUrl: `${queue}/SDXL`, storeUrl: "s3://tandem-bucket" },
    };
    const lambda = { AWS_LAMBDA_FUNCTION_NAME: "entry", TANDEM_METRICS: "none" };
    const where = { TANDEM_SERVICES: JSON.stringify(services), TANDEM_STORE: "s3://tandem-bucket" };
    const env = { ...process.env, ...lambda, ...where };
    const probe = fileURLToPath(new URL("init-probe.ts", import.meta.url));
    const run = promisify(execFile)(process.execPath, [probe, join(folder, "controlnet.mjs"), PICTURE], { env });
    const report = JSON.parse((await run).stdout) as InitReport;
    const names = report.livez.map((path) => basename(path));
    expect(names).toContain("controlnet.mjs");
    const heavy = /sharp|^(s3-store|sqs-queue|lambda-function)-/;
    expect(report.livez.filter((path) => heavy.test(basename(path)) || path.includes("/sharp/"))).toEqual([]);
    expect(report.connections).toBe(0);
    // Those, and a file for a queue of its own: what tasks and keyed calls need comes with the first of them.
    expect(report.init.length).toBeLessThanOrEqual(3);
    expect(report.bytes).toBeLessThanOrEqual(125_000);
    // fetch takes 30 ms, crypto 10, which the first request needs, the AWS SDK or a dependency; named imports load them.
    const slow = /^NativeModule (internal\/deps\/undici\/undici|crypto|http|https|http2|tls|perf_hooks|util)$/;
    expect(report.builtins.filter((name) => slow.test(name))).toEqual([]);
    const sharp = new RegExp(`/@img/sharp-${process.platform}-`);
    expect(report.livez.filter((path) => sharp.test(path))).toEqual([]);
    expect(report.edges.some((path) => sharp.test(path))).toBe(true);
  });
});
