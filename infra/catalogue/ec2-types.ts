import type { GPU_TYPES } from "#shared/config/overrides.ts";
import { PRICED_IN } from "./prices.ts";

export type GpuType = (typeof GPU_TYPES)[number];

/** A machine of EC2's with GPUs. */
export interface Ec2Type {
  /** `g6.xlarge`. */
  readonly ec2: string;
  readonly vcpu: number;
  /** MiB, as sold. */
  readonly memory: number;
  readonly gpus: number;
  readonly gpuType: GpuType;
  /** MiB of each GPU, as EC2 describes it; undefined where nobody said. */
  readonly gpuMemory: number | undefined;
  /** GB of local NVMe disk, as EC2 counts them; 0 for none. */
  readonly localStorage: number;
  /** US dollars an hour on demand, Linux, in the region of `EC2_PRICES`; undefined where no source has it. */
  readonly pricePerHour: number | undefined;
}

/** Where and when the hourly prices below were read. AWS's price list is what this file of Karpenter's is made from. */
export const EC2_PRICES = {
  region: PRICED_IN,
  date: "2026-07-20",
  source:
    "https://github.com/aws/karpenter-provider-aws/blob/1d927085dd81a9df9301e613f371dac5b4d16bfe/pkg/providers/pricing/zz_generated.pricing_aws.go",
} as const;

/** Where vCPU, memory, GPUs and disks were read: EC2's DescribeInstanceTypes, as Karpenter's documents have it. */
export const EC2_SIZES = {
  date: "2026-07-11",
  source: "https://karpenter.sh/docs/reference/instance-types/",
} as const;

interface Gpu {
  readonly gpuType: GpuType;
  readonly gpuMemory: number;
}

const T4: Gpu = { gpuType: "nvidia-tesla-t4", gpuMemory: 16384 };
const A10G: Gpu = { gpuType: "nvidia-a10g", gpuMemory: 22888 };
const L4: Gpu = { gpuType: "nvidia-l4", gpuMemory: 22888 };
const L40S: Gpu = { gpuType: "nvidia-l40s", gpuMemory: 45776 };
const RTX: Gpu = { gpuType: "nvidia-rtx-pro-6000", gpuMemory: 98304 };
const A100: Gpu = { gpuType: "nvidia-tesla-a100", gpuMemory: 40960 };
const A100_80: Gpu = { gpuType: "nvidia-a100-80gb", gpuMemory: 81920 };
const H100: Gpu = { gpuType: "nvidia-h100-80gb", gpuMemory: 81920 };
const H200: Gpu = { gpuType: "nvidia-h200-141gb", gpuMemory: 144384 };
const B200: Gpu = { gpuType: "nvidia-b200", gpuMemory: 183359 };

type Row = readonly [
  ec2: string,
  vcpu: number,
  gib: number,
  gpus: number,
  gpu: Gpu,
  disk: number,
  perHour: number | undefined,
];

const ROWS: readonly Row[] = [
  ["g4dn.xlarge", 4, 16, 1, T4, 125, 0.526],
  ["g4dn.2xlarge", 8, 32, 1, T4, 225, 0.752],
  ["g4dn.4xlarge", 16, 64, 1, T4, 225, 1.204],
  ["g4dn.8xlarge", 32, 128, 1, T4, 900, 2.176],
  ["g4dn.16xlarge", 64, 256, 1, T4, 900, 4.352],
  ["g4dn.12xlarge", 48, 192, 4, T4, 900, 3.912],
  ["g4dn.metal", 96, 384, 8, T4, 1800, 7.824],
  ["g5.xlarge", 4, 16, 1, A10G, 250, 1.006],
  ["g5.2xlarge", 8, 32, 1, A10G, 450, 1.212],
  ["g5.4xlarge", 16, 64, 1, A10G, 600, 1.624],
  ["g5.8xlarge", 32, 128, 1, A10G, 900, 2.448],
  ["g5.16xlarge", 64, 256, 1, A10G, 1900, 4.096],
  ["g5.12xlarge", 48, 192, 4, A10G, 3800, 5.672],
  ["g5.24xlarge", 96, 384, 4, A10G, 3800, 8.144],
  ["g5.48xlarge", 192, 768, 8, A10G, 7600, 16.288],
  ["g6.xlarge", 4, 16, 1, L4, 250, 0.8048],
  ["g6.2xlarge", 8, 32, 1, L4, 450, 0.9776],
  ["g6.4xlarge", 16, 64, 1, L4, 600, 1.3232],
  ["gr6.4xlarge", 16, 128, 1, L4, 600, 1.5392],
  ["g6.8xlarge", 32, 128, 1, L4, 900, 2.0144],
  ["gr6.8xlarge", 32, 256, 1, L4, 900, 2.4464],
  ["g6.16xlarge", 64, 256, 1, L4, 1880, 3.3968],
  ["g6.12xlarge", 48, 192, 4, L4, 3760, 4.6016],
  ["g6.24xlarge", 96, 384, 4, L4, 3760, 6.6752],
  ["g6.48xlarge", 192, 768, 8, L4, 7520, 13.3504],
  ["g6e.xlarge", 4, 32, 1, L40S, 250, 1.861],
  ["g6e.2xlarge", 8, 64, 1, L40S, 450, 2.24208],
  ["g6e.4xlarge", 16, 128, 1, L40S, 600, 3.00424],
  ["g6e.8xlarge", 32, 256, 1, L40S, 900, 4.52856],
  ["g6e.16xlarge", 64, 512, 1, L40S, 1900, 7.57719],
  ["g6e.12xlarge", 48, 384, 4, L40S, 3800, 10.49264],
  ["g6e.24xlarge", 96, 768, 4, L40S, 3800, 15.06559],
  ["g6e.48xlarge", 192, 1536, 8, L40S, 7600, 30.13118],
  ["g7e.2xlarge", 8, 64, 1, RTX, 1900, 3.36312],
  ["g7e.4xlarge", 16, 128, 1, RTX, 1900, 3.99816],
  ["g7e.8xlarge", 32, 256, 1, RTX, 1900, 5.26824],
  ["g7e.12xlarge", 48, 512, 2, RTX, 3800, 8.28608],
  ["g7e.24xlarge", 96, 1024, 4, RTX, 7600, 16.57216],
  ["g7e.48xlarge", 192, 2048, 8, RTX, 15200, 33.14432],
  ["p4d.24xlarge", 96, 1152, 8, A100, 8000, 21.957642],
  ["p4de.24xlarge", 96, 1152, 8, A100_80, 8000, 27.44705],
  ["p5.4xlarge", 16, 256, 1, H100, 3800, 6.88],
  ["p5.48xlarge", 192, 2048, 8, H100, 30400, 55.04],
  ["p5e.48xlarge", 192, 2048, 8, H200, 30400, undefined],
  ["p5en.48xlarge", 192, 2048, 8, H200, 30400, 63.296],
  ["p6-b200.48xlarge", 192, 2048, 8, B200, 30400, 113.9328],
];

/** EC2's machines with NVIDIA GPUs of a whole card each, from the smallest of a family up. */
export const EC2_TYPES: readonly Ec2Type[] = ROWS.map(
  ([ec2, vcpu, gib, gpus, gpu, localStorage, pricePerHour]): Ec2Type => ({
    ec2,
    vcpu,
    memory: gib * 1024,
    gpus,
    ...gpu,
    localStorage,
    pricePerHour,
  }),
);
