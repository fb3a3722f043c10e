export interface WorkerImageOptions {
  /** The service that a container of the image runs, unless `TANDEM_SERVICE` says another. */
  service?: string | undefined;
  /** Without CUDA; runs services of functions/, too. */
  cpu?: boolean | undefined;
  /** A model's folder in the project, which is in the image instead of the small bundled one. */
  bakeModel?: string | undefined;
}

/** How an image is built, from the project's folder. */
export interface WorkerImage {
  readonly dockerfile: string;
  readonly ignoreFile: string;
  /** The Dockerfile's last stage where undefined. */
  readonly target: string | undefined;
  readonly buildArgs: Readonly<Record<string, string>>;
}

const DOCKERFILE = "gpu-worker/Dockerfile";
const CPU_ARGS = { BASE: "ubuntu:24.04", ONNXRUNTIME_NODE_INSTALL: "skip" };

/** What a builder is told to build a worker's image: `tandem containerize` and deployments tell the same. */
export function workerImage({ service, cpu = false, bakeModel }: WorkerImageOptions = {}): WorkerImage {
  return {
    dockerfile: DOCKERFILE,
    ignoreFile: `${DOCKERFILE}.dockerignore`,
    target: cpu ? "cpu" : undefined,
    buildArgs: {
      ...(cpu && CPU_ARGS),
      ...(service !== undefined && { SERVICE: service }),
      ...(bakeModel !== undefined && { BAKE_MODEL: bakeModel }),
    },
  };
}
