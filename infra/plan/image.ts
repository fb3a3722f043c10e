import type { Bentofile } from "#shared/config/bentofile.ts";
import { workerImage } from "#shared/serve/worker-image.ts";
import type { ImagePlan } from "./deployment-plan.ts";

/** The image of a GPU function, whose arguments are those of a GPU container's. */
const FUNCTION_DOCKERFILE = "gpu-worker/Dockerfile.lambda";

/** An image: the project's folder, built by a Dockerfile of gpu-worker/ with what bentofile.yaml says of it. */
export function imageOf({ docker = {} }: Bentofile, kind: "cpu" | "gpu" | "gpu-function"): ImagePlan {
  const { base_image, system_packages, cuda_version } = docker;
  const cuda =
    cuda_version !== undefined && cuda_version !== "default" && isUsableCuda(cuda_version)
      ? cudaBase(cuda_version)
      : undefined;
  const base = base_image ?? (kind === "cpu" ? undefined : cuda);
  const { dockerfile, target, buildArgs } = workerImage({ cpu: kind === "cpu" });
  return {
    context: ".",
    dockerfile: kind === "gpu-function" ? FUNCTION_DOCKERFILE : dockerfile,
    target,
    platform: "linux/amd64",
    args: {
      ...buildArgs,
      ...(base !== undefined && { BASE: base }),
      ...(system_packages !== undefined && { SYSTEM_PACKAGES: system_packages.join(" ") }),
    },
  };
}

/** Whether there is an image of that version, which onnxruntime's provider works with; `default` is the Dockerfile's own. */
export function isUsableCuda(version: string): boolean {
  return version === "default" || /^12\.\d+\.\d+$/.test(version);
}

/** Variables of the image, as bentofile.yaml lists them. */
export function imageVariables({ docker = {} }: Bentofile): Record<string, string> {
  const { env } = docker;
  if (env === undefined || typeof env === "string") return {};
  if (!Array.isArray(env)) return texts(env);
  return Object.assign(
    {},
    ...env.map((item) => {
      if (typeof item !== "string") return texts(item);
      const [, name = item, value = ""] = /^([^=]+)=(.*)$/s.exec(item) ?? [];
      return { [name]: value };
    }),
  );
}

function texts(variables: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, String(value)]));
}

function cudaBase(version: string): string {
  return `nvidia/cuda:${version}-cudnn-runtime-ubuntu24.04`;
}
