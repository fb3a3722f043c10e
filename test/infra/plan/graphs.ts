import type { Service } from "#shared/service/contract.ts";
import { contract, type PlannedOptions, SEED } from "./planned.ts";

const Safety = contract("Safety", { traffic: { timeout: 20 } });
const Painter = contract("Painter", {
  traffic: { timeout: 120, concurrency: 2 },
  resources: { gpu: 1, gpuType: "nvidia-l40s" },
  dependencies: [Safety],
});
const Caption = contract("Caption", {
  traffic: { timeout: 180, concurrency: 4 },
  resources: { gpu: 1, gpuType: "nvidia-tesla-t4" },
  dependencies: [Painter],
});
const Outline = contract("Outline", { traffic: { timeout: 150 }, dependencies: [Painter] });
const Gallery = contract("Gallery", { traffic: { timeout: 240, concurrency: 8 }, dependencies: [Outline, Caption] });

const Resizer = contract("Resizer", { traffic: { timeout: 30 } });
const Archive = contract("Archive", { resources: { cpu: 4, memory: "12Gi" }, traffic: { timeout: 3600 } });
const Site = contract("Site", { traffic: { timeout: 60, concurrency: 4 }, dependencies: [Resizer, Archive] });

/** Deployments of all kinds, each planned whole and kept as a snapshot. */
export const GRAPHS: readonly (readonly [
  name: string,
  services: readonly Service[],
  config: string,
  options?: PlannedOptions,
])[] = [
  ["diamond", [Safety, Painter, Outline, Caption, Gallery], "name: gallery\ncluster: eu-central-1"],
  [
    "cpu-only",
    [Resizer, Archive, Site],
    `services:
  Resizer:
    config_overrides:
      traffic: { external_queue: true, concurrency: 1 }
  Site:
    scaling: { min_replicas: 2, max_replicas: 20 }
    deployment_strategy: RampedSlowRollout
    config_overrides:
      http:
        cors:
          enabled: true
          access_control_allow_origins: https://app.example.com
`,
  ],
  [
    "scale-to-zero",
    SEED,
    `name: nightly
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling:
      min_replicas: 0
      max_replicas: 4
      policy: { scale_up_stabilization_window: 30, scale_down_stabilization_window: 900 }
    cold_start_timeout: 600
    aws: { warm_pool: 1, model_url: "s3://weights/sdxl/" }
`,
  ],
  [
    "http-only",
    SEED,
    `name: direct
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 1, max_replicas: 2 }
    config_overrides:
      traffic: { external_queue: false, max_concurrency: 4 }
  ControlNet:
    instance_type: cpu.2
`,
  ],
  [
    "four-workers",
    SEED,
    `name: wide
services:
  SDXLControlNetService:
    instance_type: gpu.l4.4
    scaling: { min_replicas: 1, max_replicas: 1 }
    config_overrides:
      traffic: { concurrency: 8 }
      workers: [{ gpus: 1 }, { gpus: 1 }, { gpus: 1 }, { gpus: 1 }]
`,
  ],
  [
    "production",
    SEED,
    `name: gallery
access_authorization: true
secrets: [hf-token, DB_PASSWORD]
labels:
  - { key: team, value: vision }
aws: { alarm_email: ops@example.com, log_retention_days: 90, result_retention_days: 7 }
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 2, max_replicas: 10 }
    deployment_strategy: BestEffortControlledRollout
    config_overrides:
      traffic: { concurrency: 1, external_queue: true }
    aws:
      fallback_instance_types: [gpu.a10g.1, g6.2xlarge]
      spot_percent: 60
      root_volume: 150Gi
      seconds_per_call: 12
  ControlNet:
    instance_type: cpu.2
    deployment_strategy: BestEffortControlledRollout
    scaling: { min_replicas: 1, max_replicas: 10 }
    config_overrides:
      traffic: { timeout: 900 }
`,
    { stage: "production", region: "eu-central-1" },
  ],
  [
    "canary",
    SEED,
    `name: gallery
aws: { alarm_email: ops@example.com }
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 1, max_replicas: 2 }
  ControlNet:
    instance_type: cpu.2
    deployment_strategy: BestEffortControlledRollout
canary:
  route_type: header
  route_by: X-User
  versions:
    lean:
      weight: 20
      services:
        ControlNet: { instance_type: cpu.1, envs: [{ name: CANNY, value: soft }] }
    next:
      weight: 5
      envs: [{ name: STAGE, value: next }]
      secrets: [hf-token]
      services:
        SDXLControlNetService:
          scaling: { max_replicas: 1 }
          aws: { model_url: "s3://weights/sdxl-next/" }
`,
  ],
  [
    "gpu-function",
    SEED,
    `name: elastic
secrets: [hf-token]
services:
  SDXLControlNetService:
    instance_type: gpu.l4.1
    scaling: { min_replicas: 0, max_replicas: 3 }
    config_overrides:
      traffic: { concurrency: 1 }
    aws: { backend: lambda, model_url: "s3://weights/sdxl/" }
`,
  ],
];
