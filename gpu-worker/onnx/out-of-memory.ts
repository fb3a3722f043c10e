import { ServiceError } from "#shared/errors/service-error.ts";

/**
 * What onnxruntime, CUDA and their libraries say when there is no memory left. onnxruntime-node has no codes, only texts:
 * BFCArena::AllocateRawInternal and Extend (core/framework/bfc_arena.cc), CudaCall (core/providers/cuda/cuda_call.cc), what
 * C++ throws, and what V8 throws for a buffer.
 */
const TEXTS = [
  /Failed to allocate memory for requested buffer of size/,
  /BFC Arena ran out of memory/,
  /Available memory of \d+ is smaller than requested bytes/,
  /\bout of memory\b/i,
  /\bbad_alloc\b|bad allocation/,
  /(CUBLAS_STATUS|CUDNN_STATUS|CUFFT)_ALLOC_FAILED|DEVICE_ALLOCATION_FAILED/,
  /Array buffer allocation failed/,
];

/**
 * The error for a lack of memory while `what` was done; undefined for any other error. The session that ran out of it
 * works on: what the run had taken is given back.
 * @param advice what to do about it.
 */
export function outOfMemory(error: unknown, what: string, advice: string): ServiceError | undefined {
  const text = error instanceof Error ? error.message : String(error);
  if (!TEXTS.some((one) => one.test(text))) return;
  return new ServiceError("OUT_OF_MEMORY", `no memory was left ${what}: ${advice}`, { cause: error });
}
