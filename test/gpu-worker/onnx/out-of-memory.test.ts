import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { outOfMemory } from "#gpu-worker/onnx/out-of-memory.ts";
import { GraphTensor, OnnxSession } from "#gpu-worker/onnx/session.ts";
import { MODEL_DIR } from "../model.ts";

const ZEROS = fileURLToPath(new URL("../../golden/vae/zeros.onnx", import.meta.url));
const spec = {
  inputs: { shape: { dtypes: ["int64"], rank: [1] } },
  outputs: { zeros: { dtypes: ["float32"], rank: [2] } },
} as const;

describe("outOfMemory", () => {
  // As onnxruntime 1.30 writes them; CUDA's and cuDNN's are from its sources, no GPU said them here.
  it.each([
    "Non-zero status code returned while running Conv node. Name:'/conv_in/Conv' Status Message: bfc_arena.cc:376 onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 2147483648",
    "BFC Arena ran out of memory trying to allocate 1073741824",
    "bfc_arena.cc:342 Available memory of 1024 is smaller than requested bytes of 4096",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=worker ; file=cuda_allocator.cc ; line=48 ; expr=cudaMalloc((void**)&p, size);",
    "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=worker",
    "std::bad_alloc",
    "Array buffer allocation failed",
  ])("knows a lack of memory by its text: %s", (text) => {
    const cause = new Error(text);
    const error = outOfMemory(cause, "in vae_decoder/model.onnx", "ask for less");
    expect(error).toMatchObject({ code: "OUT_OF_MEMORY", status: 507, cause });
    expect(error!.message).toBe("no memory was left in vae_decoder/model.onnx: ask for less");
  });

  it.each([
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
    "Got invalid dimensions for input: sample for the following indices",
  ])("leaves others alone: %s", (text) => expect(outOfMemory(new Error(text), "", "")).toBeUndefined());
});

describe("a session without memory", () => {
  const zeros = async (session: OnnxSession, ...shape: [bigint, bigint]) =>
    (await session.run({ shape: new GraphTensor("int64", [2], BigInt64Array.of(...shape)) })).zeros!.shape;

  it("says what to do, by graph, and runs on", async () => {
    const session = await OnnxSession.load(ZEROS, spec);
    for (let i = 0; i < 3; i++) {
      await expect(zeros(session, 1n << 22n, 1n << 22n)).rejects.toMatchObject({
        code: "OUT_OF_MEMORY",
        message: expect.stringMatching(/in vae\/zeros.onnx: .*smaller picture.*max_concurrency/),
        cause: expect.any(Error),
      });
      expect(await zeros(session, 2n, 3n)).toEqual([2, 3]);
    }
    await session.release();
  });

  it("is told of a tensor that has no room, too", () => {
    expect(() => new GraphTensor("float32", [2 ** 20, 2 ** 20])).toThrow(
      expect.objectContaining({ code: "OUT_OF_MEMORY", message: expect.stringContaining("[1048576,1048576]") }),
    );
  });

  it("loses one call in a worker under a memory limit, and the next one is drawn", () => {
    const script = fileURLToPath(new URL("./little-memory.ts", import.meta.url));
    const { stdout, status, stderr } = spawnSync(process.execPath, [script, MODEL_DIR], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ large: "OUT_OF_MEMORY", small: [64, 64, 3], ready: true, crashes: 0 });
  });
});
