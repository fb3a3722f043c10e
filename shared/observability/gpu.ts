import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { log } from "./log.ts";
import { recordGpu } from "./metrics.ts";

const run = promisify(execFile);

const EVERY_MS = 30_000;
const DEADLINE_MS = 10_000;
const MEBIBYTE = 2 ** 20;
const FIELDS = "index,utilization.gpu,memory.used,memory.total";

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

/** @throws Error where `nvidia-smi` is missing, fails or does not answer in ten seconds. */
async function readGpus(gpus: string): Promise<GpuUse[]> {
  const query = [`--query-gpu=${FIELDS}`, "--format=csv,noheader,nounits", `--id=${gpus}`];
  const { stdout } = await run("nvidia-smi", query, { timeout: DEADLINE_MS });
  return stdout.split("\n").flatMap((line) => {
    const [gpu, ...fields] = line.split(",").map((field) => field.trim());
    const [utilization, used, total] = fields.map(Number) as [number, number, number];
    // Some GPUs have no answer to some questions: `[N/A]`.
    if (!gpu || ![utilization, used, total].every(Number.isFinite)) return [];
    return [{ gpu, utilization, memoryUsedBytes: used * MEBIBYTE, memoryTotalBytes: total * MEBIBYTE }];
  });
}
