import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { executionProviderFromEnvironment, missingProvider } from "#gpu-worker/onnx/execution-provider.ts";
import { sessionOptions } from "#gpu-worker/onnx/session-options.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tandem-options-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("the options of a session", () => {
  const graph = "unet_controlnet/model.onnx";

  it("ask for TensorRT before CUDA, on one device, and never for the CPU beside them", () => {
    expect(sessionOptions(graph, { executionProvider: "tensorrt", deviceId: 2 }).executionProviders).toEqual([
      { name: "tensorrt", deviceId: 2 },
      { name: "cuda", deviceId: 2 },
    ]);
    expect(sessionOptions(graph, { executionProvider: "cuda" }).executionProviders).toEqual([
      { name: "cuda", deviceId: 0 },
    ]);
    expect(sessionOptions(graph, {}).executionProviders).toEqual(["cpu"]);
  });

  it("give each graph a folder for TensorRT's engines, and clear what onnxruntime would not write over", async () => {
    const options = { executionProvider: "tensorrt", engineCache: folder } as const;
    const own = join(folder, "unet_controlnet-model");
    const { ep } = sessionOptions(graph, options).extra as { ep: Record<string, string> };
    expect(ep).toEqual({
      context_enable: "1",
      context_embed_mode: "0",
      context_file_path: join(own, "context.onnx"),
    });
    await writeFile(join(own, "context.onnx"), "");
    await writeFile(join(own, "graph.engine"), "");
    sessionOptions(graph, options);
    expect(await readdir(own)).toEqual(["graph.engine"]);
    sessionOptions("vae_decoder/model.onnx", { ...options, executionProvider: "cuda" });
    expect(existsSync(join(folder, "vae_decoder-model"))).toBe(false);
  });

  it("keep stored weights in the mapped file on the CPU, where a graph has them beside it", async () => {
    const path = join(folder, "model.onnx");
    expect(sessionOptions(path, {})).not.toHaveProperty("enableMemPattern");
    await writeFile(join(folder, "model.onnx_data"), "");
    expect(sessionOptions(path, {})).toMatchObject({
      enableMemPattern: false,
      extra: { optimization: { disable_specified_optimizers: expect.stringContaining("ConstantFolding") } },
    });
    expect(sessionOptions(path, { executionProvider: "cuda" })).not.toHaveProperty("enableMemPattern");
  });
});

describe("an execution provider", () => {
  it("is read from TANDEM_EXECUTION_PROVIDER", () => {
    expect(executionProviderFromEnvironment("tensorrt")).toBe("tensorrt");
    expect(() => executionProviderFromEnvironment("rocm")).toThrow(/must be one of cpu, cuda, tensorrt, not rocm/);
  });

  // The first was said by onnxruntime-node 1.30 with the provider's library there and CUDA's not; the second is from its sources.
  it.each([
    "OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library",
    "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=desk",
  ])("that cannot start says what it needs: %s", (reason) => {
    expect(missingProvider("cuda", reason, undefined)!.message).toMatch(/NVIDIA GPU.*driver, CUDA and cuDNN/);
    expect(missingProvider("tensorrt", reason, undefined)!.message).toMatch(/TensorRT 10/);
    expect(missingProvider("cpu", reason, undefined)).toBeUndefined();
  });

  it("is not blamed for a graph that is broken", () => {
    expect(missingProvider("cuda", "Protobuf parsing failed.", undefined)).toBeUndefined();
  });
});
