import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

const DEADLINE_MS = 10_000;
const MEBIBYTE = 2 ** 20;

/** What a GPU can be asked for, as NVIDIA names it. */
export type GpuField = "index" | "utilization.gpu" | "memory.used" | "memory.free" | "memory.total";

/**
 * Asks `nvidia-smi` about GPUs.
 * @param gpus by index or UUID, with commas between, as `CUDA_VISIBLE_DEVICES` has them.
 * @returns a GPU each, in the command's order: percent of the last second for `utilization.gpu`, bytes for `memory.*`. A
 * GPU that has no answer to one of the questions (`[N/A]`) is left out.
 * @throws Error where `nvidia-smi` is missing (code ENOENT), fails or does not answer in ten seconds.
 */
export async function askNvidiaSmi<F extends GpuField>(
  gpus: string,
  fields: readonly F[],
): Promise<Record<F, number>[]> {
  const query = [`--query-gpu=${fields.join()}`, "--format=csv,noheader,nounits", `--id=${gpus}`];
  const { stdout } = await run("nvidia-smi", query, { timeout: DEADLINE_MS });
  return stdout.split("\n").flatMap((line) => {
    const cells = line.split(",").map((cell) => cell.trim());
    const values = fields.map((field, index) => {
      const value = cells[index] ? Number(cells[index]) : Number.NaN;
      return field.startsWith("memory.") ? value * MEBIBYTE : value;
    });
    if (!values.every(Number.isFinite)) return [];
    return [Object.fromEntries(fields.map((field, index) => [field, values[index]])) as Record<F, number>];
  });
}
