import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { imageOf } from "#infra/plan/image.ts";
import { isInContext, stages } from "../e2e/image-folder.ts";
import { graphOf, ROOT, reach, sources } from "../module-graph.ts";

/** What a process of a container may load: where it starts, and the implementations that service.ts names. */
const ROOTS = [
  "gpu-worker/main.ts",
  "gpu-worker/lambda-main.ts",
  "gpu-worker/health-check.ts",
  "gpu-worker/services/sdxl-controlnet.ts",
  "functions/services/controlnet.ts",
  "service.ts",
];

describe("the worker's image", () => {
  const { dependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as {
    dependencies: Record<string, string>;
  };
  const files = Object.fromEntries(
    // What is only a type is gone when the process starts.
    Object.entries(sources()).map(([file, source]) => [file, source.replace(/\b(import|export) type\s[^;]*;/g, "")]),
  );
  const reached = new Set(ROOTS.flatMap((root) => [...reach(graphOf(files), root)]));

  it("loads only packages that are installed without those for development", () => {
    const packages = [...reached].filter((target) => !/^(gpu-worker|functions|shared|service\.ts)/.test(target));
    const names = packages.filter((name) => !isBuiltin(name)).map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)![0]);
    expect(names).toContain("onnxruntime-node");
    expect(names).toContain("@aws-sdk/client-sqs");
    expect([...new Set(names)].filter((name) => !(name in dependencies))).toEqual([]);
  });

  it.each(["cpu", "gpu", "gpu-function"] as const)("takes every argument that a plan gives its build: %s", (kind) => {
    const docker = { cuda_version: "12.8.1", system_packages: ["libvips"] };
    const image = imageOf({ service: "service:A", docker }, kind);
    const given = Object.keys(image.args);
    expect(given).toEqual(expect.arrayContaining(["BASE", "SYSTEM_PACKAGES"]));
    const dockerfile = readFileSync(`${ROOT}${image.dockerfile}`, "utf8");
    const taken = new Set([...dockerfile.matchAll(/^ARG (\w+)/gm)].map(([, name]) => name));
    expect(given.filter((name) => !taken.has(name))).toEqual([]);
    expect(dockerfile).toMatch(/apt-get install [^\\]*\$\{SYSTEM_PACKAGES\}/);
  });

  it("has every file that is loaded in its context", () => {
    const ours = [...reached].filter((target) => /\.(ts|js|mjs)$/.test(target));
    expect(ours).toEqual(expect.arrayContaining(["shared/serve/container-worker.ts", "gpu-worker/lambda.ts"]));
    expect(ours.filter((file) => !isInContext(file))).toEqual([]);
  });

  it("has the same context as a function's image", () => {
    const ignored = (file: string) => readFileSync(`${ROOT}gpu-worker/${file}.dockerignore`, "utf8");
    expect(ignored("Dockerfile.lambda")).toBe(ignored("Dockerfile"));
  });

  it("leaves secrets, tests and what was fetched out of its context", () => {
    for (const path of [
      ".env",
      ".env.local",
      ".git/config",
      "node_modules/x/index.js",
      "test/a.ts",
      ".tandem/x",
      "bin/x",
    ])
      expect(isInContext(path), path).toBe(false);
  });

  it.each(["Dockerfile", "Dockerfile.lambda"])("is not built where CUDA is not the provider's: %s", (file) => {
    const step = readFileSync(`${ROOT}gpu-worker/${file}`, "utf8").match(/^RUN (provider=(?:.*\\\n)*.*)$/m)![1]!;
    const native = "node_modules/onnxruntime-node/bin/napi-v6/linux/x64";
    const folder = mkdtempSync(join(tmpdir(), "tandem-provider-"));
    const build = (library?: string) => {
      if (library) copyFileSync(join(ROOT, native, library), join(folder, native, "libonnxruntime_providers_cuda.so"));
      const { status, stdout } = spawnSync("sh", ["-c", step], { cwd: folder, encoding: "utf8" });
      return { status, stdout };
    };
    try {
      expect(build()).toEqual({ status: 0, stdout: "" });
      mkdirSync(join(folder, native), { recursive: true });
      expect(build("libonnxruntime.so.1")).toEqual({ status: 0, stdout: "" });
      // Alone in its folder, this one misses the library that it is made for.
      const stdout = "BASE has not what the provider needs: libonnxruntime.so.1\n";
      expect(build("onnxruntime_binding.node")).toEqual({ status: 1, stdout });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("is the GPU's by default, runs as nobody's user, and says how it is", () => {
    const all = stages();
    const { base, name } = all.at(-1)!;
    expect([base, name]).toEqual(["worker", ""]);
    const worker = Object.fromEntries(all.find((stage) => stage.name === "worker")!.instructions);
    expect(worker).toMatchObject({
      USER: "10001:10001",
      ENTRYPOINT: '["/usr/bin/tini", "--"]',
      CMD: '["node", "gpu-worker/main.ts"]',
      HEALTHCHECK: expect.stringContaining('CMD ["node", "gpu-worker/health-check.ts"]'),
    });
  });
});
