import { existsSync, mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type ExecutionProvider, providersOf } from "./execution-provider.ts";

export interface SessionOptions {
  /** Default `cpu`. `cuda` and `tensorrt` need onnxruntime's libraries for them, which its npm package doesn't carry. */
  executionProvider?: ExecutionProvider;
  /** CUDA device, default 0: the first one that `CUDA_VISIBLE_DEVICES` shows. */
  deviceId?: number;
  /** Folder for the engines that TensorRT builds, minutes of work for each size of picture; not kept when left out. */
  engineCache?: string;
  /** Threads of one operator (CPU), default: onnxruntime's choice, one a physical core. */
  threads?: number;
  /**
   * Microseconds that a thread waits for the others by spinning before it sleeps; default 50. onnxruntime's own default
   * spins for milliseconds, which starves the neighbours and then itself. Measured on two cores, milliseconds a step of
   * the bundled model at 128 px, alone and beside one busy process: its default 33 and 88, 50 us 35 and 63, 0 us 50
   * and 55.
   */
  spinMicroseconds?: number;
}

/** File beside a graph of more than 1 GiB that has its weights, as the export writes it. */
const DATA_FILE = "model.onnx_data";

/** What work out constants, such as weights cast from float16 to float32, while a graph is loaded. */
const FOLDING = ["ConstantFolding", "FuseFp16InitializerToFp32NodeTransformer"];

/** onnxruntime's options for a session on the graph at `path`. Makes the folder of TensorRT's engines. */
export function sessionOptions(path: string, options: SessionOptions) {
  const provider = options.executionProvider ?? "cpu";
  const mapped = provider === "cpu" && existsSync(join(dirname(path), DATA_FILE));
  return {
    executionProviders: providersOf(provider, options.deviceId ?? 0),
    graphOptimizationLevel: "all" as const,
    logSeverityLevel: 3 as const,
    ...(options.threads !== undefined && { intraOpNumThreads: options.threads }),
    // Weights that are stored as float16 stay in the mapped file, and are cast one by one when a step needs them. Folded,
    // 2 GB of them took 2.9 times as much while they were loaded, and 2.2 after that; so it is 1.2, and loading takes a second.
    // A layout of all memory in advance, as enableMemPattern has it, would hold many of them at once.
    ...(mapped && { enableMemPattern: false }),
    extra: {
      session: {
        intra_op: { spin_duration_us: String(options.spinMicroseconds ?? 50) },
        // Weights aside from the arena, which grows by powers of two and never gives back.
        ...(provider !== "cpu" && { use_device_allocator_for_initializers: "1" }),
      },
      ...(mapped && { optimization: { disable_specified_optimizers: FOLDING.join(";") } }),
      ...(provider === "tensorrt" && options.engineCache && { ep: engineCache(path, options.engineCache) }),
    },
  };
}

/**
 * TensorRT's engines of this graph go to the folder and are found there by the next start: the only road to its cache that
 * onnxruntime-node leaves (onnxruntime's pull request 19154: with the context beside the model, the engine cache is on).
 */
function engineCache(path: string, folder: string) {
  const own = join(folder, `${basename(dirname(path))}-${basename(path, ".onnx")}`);
  mkdirSync(own, { recursive: true });
  const file = join(own, "context.onnx");
  // Written anew at each start, and refused where there is one; the engines beside it stay.
  rmSync(file, { force: true });
  return { context_enable: "1", context_embed_mode: "0", context_file_path: file };
}
