import type { Bentofile } from "#shared/config/bentofile.ts";
import type { Fault, Path } from "#shared/config/faults.ts";
import type { Loaded } from "#shared/config/load.ts";
import { isUsableCuda } from "./image.ts";

/** What bentofile.yaml says of the image and a deployment has no use for. */
export function bentofileNotes({ config, fault }: Pick<Loaded<Bentofile>, "config" | "fault">): Fault[] {
  const { python = {}, docker = {}, include, exclude } = config;
  const notes: [path: Path, given: boolean, message: string, hint: string][] = [
    [
      ["python", "requirements_txt"],
      python.requirements_txt !== undefined,
      "has no effect: workers are Node's",
      "leave it out",
    ],
    [["python", "packages"], python.packages !== undefined, "has no effect: workers are Node's", "leave it out"],
    [
      ["include"],
      include !== undefined,
      "has no effect: the image has what its Dockerfile copies",
      "change gpu-worker/Dockerfile",
    ],
    [
      ["exclude"],
      exclude !== undefined,
      "has no effect: the image has what its Dockerfile copies",
      "change gpu-worker/Dockerfile.dockerignore",
    ],
    [["docker", "env"], typeof docker.env === "string", "a file is not read", "list the variables, or use envs"],
    [
      ["docker", "cuda_version"],
      docker.cuda_version !== undefined && docker.base_image === undefined && !isUsableCuda(docker.cuda_version),
      "has no effect: onnxruntime's CUDA provider wants CUDA 12, and images are named in full",
      'write a version such as "12.8.1"',
    ],
  ];
  return notes.flatMap(([path, given, message, hint]) =>
    given ? [fault(path, message, { severity: "warning", on: "key", hint })] : [],
  );
}
