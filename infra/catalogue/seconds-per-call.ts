import type { GpuType } from "./ec2-types.ts";

/**
 * Seconds of GPU time that 30 steps of SDXL take at 1024 x 1024, by PyTorch in half precision, as Stability AI and NVIDIA
 * measured on A10, A100 and H100.
 * @see https://huggingface.co/stabilityai/stable-diffusion-xl-1.0-tensorrt
 */
const MEASURED = { a10: 9.4, a100: 3.7, h100: 2.5 };

/** Steps of a picture by default, and what its ControlNet adds: 1.25 billion parameters beside the UNet's 2.57. */
const OF_A_PICTURE = (25 / 30) * (1 + 1.25 / 2.57);

/**
 * Cards that were not measured, by the one whose throughput of FP16 is nearest on paper: a T4 has half of an A10's, an L4
 * the same at half the power, which we take for three quarters of it; L40S and RTX PRO 6000 have an A100's and more, H200
 * and B200 an H100's and more.
 */
const OF_30_STEPS: Partial<Record<GpuType, number>> = {
  "nvidia-tesla-t4": MEASURED.a10 * 2,
  "nvidia-l4": MEASURED.a10 / 0.75,
  "nvidia-a10g": MEASURED.a10,
  "nvidia-l40s": MEASURED.a100,
  "nvidia-rtx-pro-6000": MEASURED.a100,
  "nvidia-tesla-a100": MEASURED.a100,
  "nvidia-a100-80gb": MEASURED.a100,
  "nvidia-h100-80gb": MEASURED.h100,
  "nvidia-h200-141gb": MEASURED.h100,
  "nvidia-b200": MEASURED.h100,
};

/** What the estimate is of, for who reads a plan. */
export const SECONDS_BASIS = "SDXL with a ControlNet, 25 steps at 1024 px, estimated by GPU";

/**
 * Seconds of GPU time that a picture takes: of SDXL with a ControlNet, 25 steps at 1024 x 1024. Another model takes others,
 * which `aws.seconds_per_call` says. Undefined for a GPU that nobody measured.
 */
export function secondsPerCall(gpuType: GpuType): number | undefined {
  const seconds = OF_30_STEPS[gpuType];
  return seconds && Math.round(seconds * OF_A_PICTURE * 10) / 10;
}
