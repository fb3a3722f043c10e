import type { Bentofile } from "#shared/config/bentofile.ts";
import type { ImagePlan } from "./deployment-plan.ts";

/** For services without a GPU. */
const PLAIN_BASE = "ubuntu:24.04";

/** The image of a container: the project's folder, built by gpu-worker/Dockerfile with what bentofile.yaml says of it. */
export function imageOf({ docker = {} }: Bentofile, gpu: boolean): ImagePlan {
  const { base_image, system_packages, cuda_version } = docker;
  const cuda = cuda_version === undefined || cuda_version === "default" ? undefined : cudaBase(cuda_version);
  const base = base_image ?? (gpu ? cuda : PLAIN_BASE);
  return {
    context: ".",
    dockerfile: "gpu-worker/Dockerfile",
    target: gpu ? undefined : "cpu",
    platform: "linux/amd64",
    args: {
      ...(base !== undefined && { BASE: base }),
      ...(!gpu && { ONNXRUNTIME_NODE_INSTALL: "skip" }),
      ...(system_packages !== undefined && { SYSTEM_PACKAGES: system_packages.join(" ") }),
    },
  };
}

function cudaBase(version: string): string {
  return `nvidia/cuda:${version}-cudnn-runtime-ubuntu24.04`;
}
