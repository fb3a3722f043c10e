import { log } from "./log.ts";
import { recordGpu } from "./metrics.ts";
import { askNvidiaSmi } from "./nvidia-smi.ts";

const EVERY_MS = 30_000;

/** How a GPU is used. */
export interface GpuUse {
  /** As `nvidia-smi` counts them. */
  readonly gpu: string;
  /** Percent of the last second in which it worked. */
  readonly utilization: number;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
}

/**
 * Records how the GPUs of this process are used, now and every half a minute, by `nvidia-smi`. Where there is no such
 * command, nothing is recorded; a GPU that has no answer is left out.
 * @param gpus what `CUDA_VISIBLE_DEVICES` holds; nothing happens where it is empty.
 * @returns stops it.
 */
export function watchGpus(service: string, gpus: string = process.env.CUDA_VISIBLE_DEVICES ?? ""): () => void {
  if (gpus === "") return () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    try {
      for (const use of await readGpus(gpus)) recordGpu(service, use);
    } catch (err) {
      const absent = (err as NodeJS.ErrnoException).code === "ENOENT";
      log[absent ? "info" : "warn"]({ err, gpus }, "how the GPUs are used cannot be told");
      if (absent) clearInterval(timer);
    }
  };
  timer = setInterval(() => void look(), EVERY_MS).unref();
  void look();
  return () => clearInterval(timer);
}

async function readGpus(gpus: string): Promise<GpuUse[]> {
  const told = await askNvidiaSmi(gpus, ["index", "utilization.gpu", "memory.used", "memory.total"]);
  return told.map((gpu) => ({
    gpu: String(gpu.index),
    utilization: gpu["utilization.gpu"],
    memoryUsedBytes: gpu["memory.used"],
    memoryTotalBytes: gpu["memory.total"],
  }));
}
