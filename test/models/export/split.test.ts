import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { sessionOptions } from "#gpu-worker/onnx/session-options.ts";
import { gaussianNoise } from "#gpu-worker/pipelines/random.ts";
import { MODEL_DIR, maxDifference } from "../../gpu-worker/model.ts";
import { pythonWith } from "../../python.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const WHOLE = join(MODEL_DIR, "unet_controlnet/model.onnx");
/** As no number of positions in the latents below. */
const TOKENS = 7;
const SIZES: Record<string, number> = {
  batch: 1,
  tokens: TOKENS,
  height: 64,
  width: 96,
  latent_height: 16,
  latent_width: 24,
};

/** A node as onnxruntime ran it: its operator, element types and dimensions. */
interface Ran {
  op: string;
  takes: [type: string, dims: number[]][];
  gives: [type: string, dims: number[]][];
}
interface Part {
  inputs: readonly string[];
  outputs: Record<string, Tensor>;
  ran: Ran[];
}

// A second alone, and minutes beside neighbours.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
let folder: string;
let conditions: Part;
let step: Part;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-split-"));
  const python = await pythonWith("memory", here("../../bench/memory/requirements.txt"));
  const model = join(folder, "model.onnx");
  await promisify(execFile)(python, [here("weights_outside.py"), WHOLE, model]);
  await promisify(execFile)(python, [here("../../../gpu-worker/onnx/split_steps.py"), model]);
  conditions = await run(join(folder, "conditions.onnx"), {});
  step = await run(join(folder, "step.onnx"), conditions.outputs);
});
afterAll(() => rm(folder, { recursive: true }));

describe("a denoiser in two parts whose weights lie beside it", () => {
  it("tells the noise that the whole graph does", async () => {
    const whole = await run(WHOLE, {});
    const [expected, found] = [whole, step].map(({ outputs }) => outputs.noise_pred!.data as Float32Array);
    expect(Math.max(...expected!)).toBeGreaterThan(0.1);
    expect(maxDifference(found!, expected!)).toBeLessThan(1e-4);
  });

  it("hands over what comes of the picture, and nothing that grows with the number of attentions", () => {
    expect(conditions.inputs).toContain("controlnet_cond");
    expect(conditions.inputs).not.toContain("encoder_hidden_states");
    expect(step.inputs).toContain("encoder_hidden_states");
  });

  it("has no weight cast before the node that takes it is next", () => {
    let casts = 0;
    let waiting: number[][] = [];
    for (const { op, takes, gives } of step.ran) {
      if (op === "Cast" && takes[0]![0] === "float16") {
        waiting.push(gives[0]![1]);
        casts++;
        continue;
      }
      expect(takes.map(([, dims]) => dims)).toEqual(expect.arrayContaining(waiting));
      waiting = [];
    }
    expect(casts).toBeGreaterThan(200);
  });

  it("works out a text's keys and values right before the attention that takes them", () => {
    let [made, waiting, early] = [0, 0, 0];
    for (const { op, takes, gives } of step.ran) {
      if (op === "MatMul" && gives[0]![1][1] === TOKENS) {
        made++;
        waiting++;
      }
      if (op !== "MultiHeadAttention") continue;
      if (takes[1]![1][1] === TOKENS) waiting -= 2;
      early += waiting;
    }
    expect({ made, waiting, early }).toEqual({ made: 20, waiting: 0, early: 0 });
  });
});

/** Runs a graph on `given`, and on noise where that has nothing, with the worker's options; its nodes are in the order of the run. */
async function run(path: string, given: Record<string, Tensor>): Promise<Part> {
  const prefix = `${path.replaceAll("/", "_")}-ran`;
  const session = await InferenceSession.create(path, {
    ...sessionOptions(path, {}),
    enableProfiling: true,
    profileFilePrefix: join(folder, prefix),
  });
  const feeds: Record<string, Tensor> = {};
  for (const port of session.inputMetadata) feeds[port.name] = given[port.name] ?? noise(port);
  const outputs = (await session.run(feeds)) as Record<string, Tensor>;
  session.endProfiling();
  await session.release();
  const profile = (await readdir(folder)).find((file) => file.startsWith(prefix))!;
  const events = JSON.parse(await readFile(join(folder, profile), "utf8")) as ProfileEvent[];
  const ran = events
    .filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"))
    .map(({ args }) => ({
      op: args.op_name,
      takes: typed(args.input_type_shape),
      gives: typed(args.output_type_shape),
    }));
  return { inputs: session.inputNames, outputs, ran };
}

/** Numbers for an input of {@link SIZES}, seeded by its name: both parts are given what the whole is. */
function noise(port: InferenceSession.ValueMetadata): Tensor {
  if (!port.isTensor) throw new Error(`${port.name} is no tensor`);
  const dims = port.shape.map((dim) => (typeof dim === "string" ? SIZES[dim]! : dim));
  const size = dims.reduce((a, b) => a * b, 1);
  // The generator gives 16 at the least.
  return new Tensor("float32", gaussianNoise(port.name.length, Math.max(size, 16)).subarray(0, size), dims);
}

/** What onnxruntime's profile says of a node. */
interface ProfileEvent {
  cat: string;
  name: string;
  args: {
    op_name: string;
    input_type_shape: Record<string, number[]>[];
    output_type_shape: Record<string, number[]>[];
  };
}

function typed(shapes: Record<string, number[]>[]): [string, number[]][] {
  return shapes.map((one) => Object.entries(one)[0] ?? ["none", []]);
}
