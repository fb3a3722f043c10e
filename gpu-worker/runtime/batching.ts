import { ServiceError } from "#shared/errors/service-error.ts";

/** Whether calls share runs: measured when the pipeline starts, or set. */
export const BATCHING_MODES = ["auto", "on", "off"] as const;

export interface BatchingSettings {
  readonly mode: (typeof BATCHING_MODES)[number];
  /** Bytes for runs and for what begun calls hold, beyond the weights; half of what is free at start where left out. */
  readonly memoryBytes?: number | undefined;
}

/** What the settings come to with a model on a machine. */
export interface Batching {
  /** Calls that share a run at most; 1: every call runs alone. */
  readonly calls: number;
  /** Bytes of a run beyond the weights, for a row (one picture under one prompt) of the model's own size. */
  readonly rowBytes: number;
  /** Pixels of a picture of the model's own size. */
  readonly nativePixels: number;
  /** Rows of the largest run of that size that went well before the first call. */
  readonly seenRows: number;
  /** Bytes that the decoder takes for each pixel that it decodes at once. */
  readonly decodePixelBytes: number;
  /** Bytes for runs and for what begun calls hold. */
  readonly memoryBytes: number;
  /** Time of a shared run to that of as many runs one after the other, as it was measured. */
  readonly measured: readonly { readonly calls: number; readonly ratio: number }[];
}

/** Most calls of a run. */
export const MOST_CALLS = 8;
/**
 * What a shared run may take of the time of its calls' one after the other, to be worth it. Sharing makes the first of
 * several calls wait for the last: with a smaller gain they are answered later on average.
 */
export const WORTH_IT = 0.6;

/**
 * Bytes that a run takes beyond the weights, by estimate: above the model's own size by the square of the pixels, as a graph
 * without fused attention may hold the tables of a self-attention.
 */
export function runBytes({ rowBytes, nativePixels }: Batching, rows: number, pixels: number): number {
  const size = pixels / nativePixels;
  return rows * rowBytes * size * Math.max(1, size);
}

/**
 * Messages of its queue that a worker has a use for at once: as many as share a run, and else one beside the one in work,
 * so that it need not wait for the queue. More would wait here, where no other worker can take them.
 */
export function usefulPlaces(batching: Batching): number {
  const rows = 2;
  const fitting = Math.floor(batching.memoryBytes / runBytes(batching, rows, batching.nativePixels));
  return Math.max(2, Math.min(batching.calls, fitting));
}

/**
 * `TANDEM_BATCHING`, default auto, and `TANDEM_BATCH_MEMORY_MB`.
 * @throws ServiceError INVALID_ARGUMENT naming the variable and what it must be.
 */
export function batchingFromEnvironment(env: NodeJS.ProcessEnv = process.env): BatchingSettings {
  const { TANDEM_BATCHING: named = "auto", TANDEM_BATCH_MEMORY_MB: given } = env;
  const mode = BATCHING_MODES.find((one) => one === named);
  if (!mode) throw invalid(`TANDEM_BATCHING must be one of ${BATCHING_MODES.join(", ")}, not ${named}`);
  if (given === undefined || given === "") return { mode };
  if (!/^[1-9]\d{0,8}$/.test(given))
    throw invalid(`TANDEM_BATCH_MEMORY_MB must be a whole number of MiB, not ${given}`);
  return { mode, memoryBytes: Number(given) * 2 ** 20 };
}

function invalid(message: string): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", message);
}
