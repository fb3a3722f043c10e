import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GraphTensor, OnnxSession } from "#gpu-worker/onnx/session.ts";
import { MODEL_DIR } from "../model.ts";

const HALF = fileURLToPath(new URL("../../golden/pipeline/half.onnx", import.meta.url));
const port = (...rank: number[]) => ({ dtypes: ["float32", "float16"], rank }) as const;
const spec = { inputs: { x: port(1), factor: port(0, 1) }, outputs: { product: port(1) } };

describe("OnnxSession on a float16 graph", () => {
  let session: OnnxSession;
  beforeAll(async () => {
    session = await OnnxSession.load(HALF, spec);
  });
  afterAll(() => session.release());

  const feeds = () => {
    const x = session.inputTensor("x", [3]);
    const factor = session.inputTensor("factor", []);
    (x.data as Float16Array).set([1, -2, 0.1]);
    (factor.data as Float16Array).fill(3);
    return { x, factor };
  };

  it("tells the graph's element types and dimensions", () => {
    expect(session.input("x")).toEqual({ dtype: "float16", shape: ["n"] });
    expect(session.input("factor")).toEqual({ dtype: "float16", shape: [] });
  });

  it("feeds and reads float16 and scalars", async () => {
    const { product } = await session.run(feeds());
    expect(product!.data).toEqual(Float16Array.of(3, -6, Math.f16round(Math.f16round(0.1) * 3)));
    expect(product!.shape).toEqual([3]);
  });

  it("writes into the tensor that it is given, run after run", async () => {
    const into = { product: session.outputTensor("product", [3]) };
    const given = feeds();
    for (const factor of [2, 5]) {
      (given.factor.data as Float16Array).fill(factor);
      expect((await session.run(given, into)).product).toBe(into.product);
      expect(into.product.data[1]).toBe(-2 * factor);
    }
    expect(session.runMs).toBeGreaterThan(0);
  });

  it("takes data that begins inside a buffer", async () => {
    const x = new GraphTensor("float16", [2], new Float16Array(8).fill(7).subarray(3, 5));
    const { product } = await session.run({ x, factor: feeds().factor });
    expect(product!.data).toEqual(Float16Array.of(21, 21));
  });
});

describe("OnnxSession.load", () => {
  const load = (change: object) => OnnxSession.load(HALF, { ...spec, ...change });

  it("refuses a graph that isn't as the spec says, by graph and name", async () => {
    await expect(load({ inputs: { ...spec.inputs, y: port(1) } })).rejects.toThrow(
      /half.onnx has no input y; .*x, factor/,
    );
    await expect(load({ outputs: { sum: port(1) } })).rejects.toThrow(/no output sum; it has product/);
    await expect(load({ inputs: { ...spec.inputs, x: port(4) } })).rejects.toThrow(/x has 1 dimensions \[n\], not 4/);
    const wrongType = { dtypes: ["float32"], rank: [1] } as const;
    await expect(load({ inputs: { ...spec.inputs, x: wrongType } })).rejects.toThrow(/x is float16, not float32/);
    await expect(load({ inputs: { x: port(1) } })).rejects.toThrow(/wants inputs that .* give: factor/);
  });

  it("refuses a file that isn't a graph or isn't there", async () => {
    await expect(OnnxSession.load(`${MODEL_DIR}/model_index.json`, spec)).rejects.toMatchObject({ code: "INTERNAL" });
    await expect(OnnxSession.load("no/such.onnx", spec)).rejects.toThrow(/no.such.onnx doesn't load/);
  });
});
