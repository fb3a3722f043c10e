import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { SessionOptions } from "../onnx/session.ts";

/** Bytes that are free where the graphs run, and that are used: of a GPU by all of its processes, else by this process. */
export interface DeviceMemory {
  readonly free: number;
  readonly used: number;
}

const run = promisify(execFile);
const DEADLINE_MS = 10_000;
const MEBIBYTE = 2 ** 20;

/** @returns undefined where `nvidia-smi` does not tell. */
export async function deviceMemory({ executionProvider, deviceId }: SessionOptions): Promise<DeviceMemory | undefined> {
  if ((executionProvider ?? "cpu") === "cpu")
    return { free: process.availableMemory(), used: process.memoryUsage.rss() };
  const visible = process.env.CUDA_VISIBLE_DEVICES?.split(",")[deviceId ?? 0] || String(deviceId ?? 0);
  const query = ["--query-gpu=memory.free,memory.used", "--format=csv,noheader,nounits", `--id=${visible}`];
  try {
    const { stdout } = await run("nvidia-smi", query, { timeout: DEADLINE_MS });
    const [free, used] = stdout.split(",").map((mebibytes) => Number(mebibytes) * MEBIBYTE);
    return Number.isFinite(free) && Number.isFinite(used) ? { free: free!, used: used! } : undefined;
  } catch {
    return undefined;
  }
}
