import type { StartEstimate } from "./deployment-plan.ts";

/**
 * Seconds and rates that a start is estimated from; nobody publishes them for ECS on GPU instances.
 * - An instance boots, joins its cluster and is given a task in one to two minutes; one from a warm pool only starts, and
 *   pulls the image as any other: no task has run on it.
 * - 15 to 20 GB of image are pulled in four to six minutes: 58 MB/s (AWS's machine learning blog, 2026-06).
 * - Weights: 14 GB of a 7B model take 15 to 40 s from a local disk, 0.5 GB/s (gpu-inference-reliability-lab,
 *   discussion 11), and before that they come from S3 at half of what "up to 10 Gbit/s" promise.
 */
const BOOT_SECONDS = 90;
const WARM_SECONDS = 40;
const IMAGE_GB = 6;
const PULL_GB_PER_SECOND = 0.058;
const WEIGHTS_GB = 7;
const LOAD_GB_PER_SECOND = 0.5;
const FETCH_GB_PER_SECOND = 0.6;
/** A function with a GPU gets its instance within "several minutes" (AWS's Lambda guide, GPU scaling). */
const MANAGED_BOOT_SECONDS = 240;

export interface StartFacts {
  readonly warmPool: number;
  readonly ami: string | undefined;
  readonly modelUrl: string | undefined;
  /** Whether AWS manages the instances. */
  readonly managed: boolean;
}

/** Seconds from zero replicas to the first call's beginning. */
export function startEstimate({ warmPool, ami, modelUrl, managed }: StartFacts): StartEstimate {
  const baked = ami !== undefined;
  const boot = managed ? MANAGED_BOOT_SECONDS : warmPool > 0 ? WARM_SECONDS : BOOT_SECONDS;
  const pull = baked ? 0 : Math.round(IMAGE_GB / PULL_GB_PER_SECOND);
  const fetched = modelUrl === undefined || baked ? 0 : WEIGHTS_GB / FETCH_GB_PER_SECOND;
  const load = Math.round(fetched + WEIGHTS_GB / LOAD_GB_PER_SECOND);
  const image = baked
    ? "the image and the weights are in the AMI"
    : `an image of ${IMAGE_GB} GB, weights of ${WEIGHTS_GB} GB`;
  return {
    boot,
    pull,
    load,
    total: boot + pull + load,
    basis: `estimated, not measured: ${image}`,
  };
}
