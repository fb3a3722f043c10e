import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Graph, graphOf, ROOT, reach, sources } from "./module-graph.ts";

const ROOMS: Record<string, string[]> = {
  shared: ["shared"],
  functions: ["functions", "shared"],
  "gpu-worker": ["gpu-worker", "shared"],
  infra: ["infra", "shared"],
  bin: ["bin", "infra", "shared"],
  "service.ts": ["functions", "gpu-worker", "shared"],
  "sst.config.ts": ["infra"],
};

/** What spells a plan in SST's words: it is run by SST alone, and the rest of infra by plain Node too. */
const SPELLS = /^(infra\/(resources\/|deploy\.ts$|program\.ts$)|sst\.config\.ts$)/;

/** Packages that only some files may name. */
const GATES: [name: RegExp, allowed: RegExp][] = [
  [/^onnxruntime-node$/, /^gpu-worker\/onnx\/session\.ts$/],
  [/^sharp$/, /^shared\/image\/sharp-module\.ts$/],
  [/^(hono|@hono\/)/, /^shared\/http\//],
  [/^commander$/, /^(shared|infra)\/cli\//],
  [/^@(aws-sdk|smithy)\//, /^(shared\/aws|infra\/deployments)\//],
  [/^(sst|@pulumi\/)/, SPELLS],
];

function violations(graph: Graph): string[] {
  const found: string[] = [];
  for (const [file, targets] of graph) {
    const room = file.split("/")[0]!;
    for (const target of targets) {
      const targetRoom = target.split("/")[0]!;
      if (targetRoom in ROOMS && !ROOMS[room]!.includes(targetRoom)) found.push(`${file} imports ${target}`);
      if (SPELLS.test(target) && !SPELLS.test(file)) found.push(`${file} imports ${target}`);
      for (const [name, allowed] of GATES)
        if (name.test(target) && !allowed.test(file)) found.push(`${file} imports ${target}`);
    }
    if (room === "functions" || file.startsWith("shared/contracts/"))
      for (const target of reach(graph, file))
        if (/^(onnxruntime-node|sst|@pulumi\/|gpu-worker\/|infra\/)/.test(target))
          found.push(`${file} reaches ${target}`);
    if (file.startsWith("shared/contracts/"))
      for (const target of reach(graph, file))
        if (/^(sharp|hono|functions\/)/.test(target)) found.push(`${file} reaches ${target}`);
  }
  return found;
}

/**
 * Files that load the AWS SDK when they are loaded themselves, and not when they need it, with `import()`. `shared/aws` is
 * made of it, `shared/serve` has files for processes that do nothing else, and commands load `infra` when they need it.
 */
function loadsAws(files: Record<string, string>): string[] {
  const unloaded = /\bimport\s*\([^)]*\)|\bimport type\s[^;]*;/g;
  const statics = Object.entries(files).map(([file, source]) => [file, source.replace(unloaded, "")]);
  const graph = graphOf(Object.fromEntries(statics));
  return Object.keys(files).filter(
    (file) =>
      !/^(shared\/(aws|serve)|infra\/(deployments|cli))\//.test(file) &&
      [...reach(graph, file)].some((target) => /^@aws-sdk\//.test(target)),
  );
}

describe("rooms", () => {
  it("import only in the direction of the arrows, and each heavy package behind its gate", () => {
    expect(violations(graphOf(sources()))).toEqual([]);
  });

  it("are seen whole: every import of ours is a file", () => {
    const files = sources();
    for (const [file, targets] of graphOf(files))
      for (const target of targets)
        if (target.split("/")[0]! in ROOMS) expect(existsSync(ROOT + target), `${file} imports ${target}`).toBe(true);
    const named = Object.values(files)
      .join("\n")
      .match(/onnxruntime-node"/g)!.length;
    const seen = [...graphOf(files).values()].flat().filter((target) => target === "onnxruntime-node").length;
    expect([named, seen]).toEqual([1, 1]);
  });

  it.each([
    [
      "functions/a.ts",
      'import { x } from "#gpu-worker/onnx/session.ts";',
      "functions/a.ts imports gpu-worker/onnx/session.ts",
    ],
    [
      "shared/a.ts",
      'export * from "../functions/services/controlnet.ts";',
      "shared/a.ts imports functions/services/controlnet.ts",
    ],
    ["functions/a.ts", 'const ort = await import("onnxruntime-node");', "functions/a.ts imports onnxruntime-node"],
    ["functions/a.ts", 'import type { Hono }\n  from "hono";', "functions/a.ts imports hono"],
    ["shared/codec/a.ts", 'import "sharp";', "shared/codec/a.ts imports sharp"],
    [
      "shared/store/a.ts",
      'const { S3Client } = await import("@aws-sdk/client-s3");',
      "shared/store/a.ts imports @aws-sdk/client-s3",
    ],
    [
      "gpu-worker/a.ts",
      'new Worker(new URL("../functions/vision/canny.ts", import.meta.url))',
      "gpu-worker/a.ts imports functions/vision/canny.ts",
    ],
    ["shared/a.ts", 'import { appOf } from "#infra/app.ts";', "shared/a.ts imports infra/app.ts"],
    ["gpu-worker/a.ts", 'import { appOf } from "../infra/app.ts";', "gpu-worker/a.ts imports infra/app.ts"],
    [
      "infra/plan/a.ts",
      'import { canny } from "#functions/vision/canny.ts";',
      "infra/plan/a.ts imports functions/vision/canny.ts",
    ],
    ["infra/plan/a.ts", 'import * as pulumi from "@pulumi/pulumi";', "infra/plan/a.ts imports @pulumi/pulumi"],
    ["infra/plan/a.ts", 'import { deploy } from "../deploy.ts";', "infra/plan/a.ts imports infra/deploy.ts"],
    ["bin/a.ts", 'import { deploy } from "#infra/deploy.ts";', "bin/a.ts imports infra/deploy.ts"],
  ])("would not let %s say %s", (file, source, complaint) => {
    expect(violations(graphOf({ ...sources(), [file]: source }))).toContain(complaint);
  });

  it("would not let a function reach the model through shared", () => {
    const graph = graphOf({
      "functions/a.ts": 'import { b } from "#shared/b.ts";',
      "shared/b.ts": 'import { c } from "./c.ts";',
      "shared/c.ts": 'import ort from "onnxruntime-node";',
    });
    expect(violations(graph)).toContain("functions/a.ts reaches onnxruntime-node");
  });

  it("load the AWS SDK only when they need it", () => {
    expect(loadsAws(sources())).toEqual([]);
    const files = {
      "shared/aws/queue.ts": 'import { SQSClient } from "@aws-sdk/client-sqs";',
      "shared/later.ts": 'const { Queue } = await import("./aws/queue.ts");',
      "shared/now.ts": 'import { Queue } from "./aws/queue.ts";',
      "functions/a.ts": 'import "#shared/now.ts"; import "#shared/later.ts";',
    };
    expect(loadsAws(files)).toEqual(["shared/now.ts", "functions/a.ts"]);
  });
});
