import { ServiceError } from "#shared/errors/service-error.ts";

/** Where the graphs run. `tensorrt` leaves what TensorRT does not take to `cuda`. */
export const EXECUTION_PROVIDERS = ["cpu", "cuda", "tensorrt"] as const;
export type ExecutionProvider = (typeof EXECUTION_PROVIDERS)[number];

/**
 * `TANDEM_EXECUTION_PROVIDER`, default cpu.
 * @throws ServiceError INVALID_ARGUMENT for another word.
 */
export function executionProviderFromEnvironment(
  name: string = process.env.TANDEM_EXECUTION_PROVIDER ?? "cpu",
): ExecutionProvider {
  const found = EXECUTION_PROVIDERS.find((provider) => provider === name);
  if (found) return found;
  const known = EXECUTION_PROVIDERS.join(", ");
  throw new ServiceError("INVALID_ARGUMENT", `TANDEM_EXECUTION_PROVIDER must be one of ${known}, not ${name}`);
}

/**
 * The providers that a session asks for. `deviceId` is all that onnxruntime-node 1.30 reads of an entry
 * (js/node/src/session_options_helper.cc, ParseExecutionProviders): arena, memory limit, search for convolutions, TF32 and
 * CUDA graphs are onnxruntime's defaults, since nothing sets them from here. So are TensorRT's options, its variables
 * (`ORT_TENSORRT_...`) included: the binding always passes options, and then they are not read (onnxruntime's issue 18380).
 */
export function providersOf(provider: ExecutionProvider, deviceId: number) {
  if (provider === "cpu") return ["cpu"];
  const cuda = { name: "cuda", deviceId };
  return provider === "tensorrt" ? [{ name: "tensorrt", deviceId }, cuda] : [cuda];
}

/** What a provider that cannot start says: its library is missing, or one that this needs, or there is no such GPU. */
const CANNOT_START = /shared library|Failed to load library|CUDA failure|not available|backend not found/i;

/**
 * The error for a provider that cannot start; undefined where `reason`, onnxruntime's message, is about something else.
 * Never falls back to the CPU: a GPU service that runs there is a broken service.
 */
export function missingProvider(provider: ExecutionProvider, reason: string, cause: unknown): ServiceError | undefined {
  if (provider === "cpu" || !CANNOT_START.test(reason)) return;
  const needs = {
    cuda: "an NVIDIA GPU with its driver, CUDA and cuDNN of the versions that the provider was built for",
    tensorrt: "TensorRT 10 (libnvinfer, libnvonnxparser) besides all that cuda needs",
  };
  const other = { cuda: "cpu", tensorrt: "cuda" };
  return new ServiceError(
    "INTERNAL",
    `executionProvider ${provider} can't start: ${reason}. It needs ${needs[provider]}, and onnxruntime's own library: ` +
      "Install that by `npm_config_onnxruntime_node_install=cuda12 npm rebuild onnxruntime-node`, or set " +
      `executionProvider to ${other[provider]}`,
    { cause },
  );
}
