import { askNvidiaSmi } from "#shared/observability/nvidia-smi.ts";
import type { SessionOptions } from "../onnx/session.ts";

/** Bytes that are free where the graphs run, and that are used: of a GPU by all of its processes, else by this process. */
export interface DeviceMemory {
  readonly free: number;
  readonly used: number;
}

/** @returns undefined where `nvidia-smi` does not tell. */
export async function deviceMemory({ executionProvider, deviceId }: SessionOptions): Promise<DeviceMemory | undefined> {
  if ((executionProvider ?? "cpu") === "cpu")
    return { free: process.availableMemory(), used: process.memoryUsage.rss() };
  const visible = process.env.CUDA_VISIBLE_DEVICES?.split(",")[deviceId ?? 0] || String(deviceId ?? 0);
  const [gpu] = await askNvidiaSmi(visible, ["memory.free", "memory.used"]).catch(() => []);
  return gpu && { free: gpu["memory.free"], used: gpu["memory.used"] };
}
