const service = (text: string): string => `services:\n  ControlNet:\n${text.replace(/^/gm, "    ")}`;
const overrides = (text: string): string => service(`config_overrides:\n${text.replace(/^/gm, "  ")}`);
const ours = (config: object): object => ({ services: { ControlNet: config } });
const overridden = (config: object): object => ours({ config_overrides: config });

/** Files that people write: what of them, the file, what is read, and what is warned about (line and field). */
export const ACCEPTED: readonly (readonly [what: string, yaml: string, read: object, warnings: string[]])[] = [
  ["an empty file", "# nothing yet\n", {}, ["1 "]],
  ["a service with nothing of its own", "services:\n  ControlNet:\n", ours({}), []],
  ["a group with nothing in it", "envs:\nname: a\n", { name: "a" }, ["1 envs"]],
  [
    "a name, a folder, a region",
    "name: my-app\nbento: .\ncluster: eu-central-1",
    { name: "my-app", bento: ".", cluster: "eu-central-1" },
    [],
  ],
  [
    "a cluster of BentoCloud's",
    "cluster: google-cloud-us-central-1",
    { cluster: "google-cloud-us-central-1" },
    ["1 cluster"],
  ],
  [
    "YAML 1.1's booleans",
    `access_authorization: yes\n${overrides("traffic: { external_queue: Off }")}`,
    { access_authorization: "bearer", ...overridden({ traffic: { external_queue: false } }) },
    [],
  ],
  [
    "true and false",
    overrides("traffic:\n  external_queue: true\n  concurrency: 1"),
    overridden({ traffic: { external_queue: true, concurrency: 1 } }),
    [],
  ],
  [
    "JSON",
    '{"name": "a", "services": {"ControlNet": {"scaling": {"min_replicas": 0}}}}',
    ours({ scaling: { min_replicas: 0 } }),
    [],
  ],
  [
    "numbers as envs, as they were written",
    'envs:\n  - name: "A"\n    value: 25\n  - { name: B, value: 1.10 }\n  - { name: C, value: 0123 }\n  - { name: D, value: "" }',
    {
      envs: [
        { name: "A", value: "25" },
        { name: "B", value: "1.10" },
        { name: "C", value: "0123" },
        { name: "D", value: "" },
      ],
    },
    [],
  ],
  [
    "envs of a service beside global ones",
    `envs: [{ name: A, value: all }]\n${service("envs: [{ name: A, value: own }]")}`,
    { envs: [{ name: "A", value: "all" }], ...ours({ envs: [{ name: "A", value: "own" }] }) },
    [],
  ],
  [
    "secrets and labels",
    "secrets: [hf-token, DB_PASSWORD]\nlabels:\n  - { key: team, value: vision }\n  - { key: cost, value: 42 }",
    {
      secrets: ["hf-token", "DB_PASSWORD"],
      labels: [
        { key: "team", value: "vision" },
        { key: "cost", value: "42" },
      ],
    },
    [],
  ],
  [
    "scale to zero with windows",
    service(
      "scaling:\n  min_replicas: 0\n  max_replicas: 10\n  policy:\n    scale_up_stabilization_window: 60\n    scale_down_stabilization_window: 10m",
    ),
    ours({ scaling: { policy: { scale_up_stabilization_window: 60, scale_down_stabilization_window: 600 } } }),
    [],
  ],
  [
    "the older words of scaling",
    service(
      "scaling:\n  policy:\n    scale_up_behavior: fast\n    scale_down_behavior: stable\n    metrics: [{ type: cpu, value: 80 }]",
    ),
    ours({ scaling: { policy: { scale_up_behavior: "fast" } } }),
    ["7 metrics"],
  ],
  [
    "quantities in Kubernetes' words",
    overrides("resources: { cpu: 500m, memory: 1.5Gi }"),
    overridden({ resources: { cpu: 0.5, memory: 1.5 * 2 ** 30 } }),
    [],
  ],
  [
    "quantities as numbers",
    overrides("resources: { cpu: 0.5, memory: 4 }"),
    overridden({ resources: { cpu: 0.5, memory: 4 * 2 ** 30 } }),
    [],
  ],
  [
    "quantities in other words",
    overrides('resources: { cpu: "2", memory: 500MiB }'),
    overridden({ resources: { cpu: 2, memory: 500 * 2 ** 20 } }),
    [],
  ],
  [
    "a GPU by its name",
    `services:\n  SDXLControlNetService:\n    instance_type: gpu.l4.1\n    config_overrides:\n      resources: { gpu: 1, gpu_type: nvidia-l4 }`,
    { services: { SDXLControlNetService: { config_overrides: { resources: { gpu: 1, gpu_type: "nvidia-l4" } } } } },
    [],
  ],
  ["a shared GPU", overrides("resources: { gpu: 0.5 }"), overridden({ resources: { gpu: 0.5 } }), []],
  ["durations", overrides("traffic: { timeout: 1h30m }"), overridden({ traffic: { timeout: 5400 } }), []],
  ["a timeout of half a second", overrides("traffic: { timeout: 0.5 }"), overridden({ traffic: { timeout: 0.5 } }), []],
  ["workers by number", overrides("workers: 4"), overridden({ workers: { count: 4 } }), []],
  ["a worker a core", overrides("workers: cpu_count"), overridden({ workers: { count: "cpu_count" } }), []],
  [
    "a list of workers",
    overrides("workers:\n  - gpus: [0, 1]\n  - gpus: 2\n  - gpu: 1"),
    overridden({ workers: { count: 3, gpus: [[0, 1], 2, 1] } }),
    [],
  ],
  [
    "a queue without concurrency",
    overrides("traffic: { external_queue: true, max_concurrency: 4 }"),
    overridden({ traffic: { max_concurrency: 4 } }),
    ["4 external_queue", "4 max_concurrency"],
  ],
  [
    "anchors and merge keys",
    "x-small: &small\n  instance_type: cpu.1\n  scaling: { max_replicas: 2 }\nservices:\n  ControlNet:\n    <<: *small\n    scaling: { max_replicas: 3 }\n  SDXLControlNetService: *small",
    {
      services: {
        ControlNet: { instance_type: "cpu.1", scaling: { max_replicas: 3 } },
        SDXLControlNetService: { scaling: { max_replicas: 2 } },
      },
    },
    [],
  ],
  [
    "merges of several, the first winning",
    "x-a: &a { instance_type: cpu.1 }\nx-b: &b { instance_type: cpu.2, cold_start_timeout: 30 }\nservices:\n  ControlNet:\n    <<: [*a, *b]",
    ours({ instance_type: "cpu.1", cold_start_timeout: 30 }),
    [],
  ],
  [
    "a canary",
    "canary:\n  route_type: header\n  route_by: X-User\n  versions:\n    next: { bento: ./next, weight: 10 }",
    { canary: { route_by: "X-User", versions: { next: { bento: "./next", weight: 10 } } } },
    [],
  ],
  [
    "a canary whose parts mean nothing",
    "canary:\n  route_type: random\n  route_by: X-User\n  versions:\n    next: {}",
    { canary: { versions: { next: {} } } },
    ["3 route_by", "5 next"],
  ],
  [
    "what only AWS has, for the deployment",
    "aws:\n  alarm_email: ops@example.com\n  log_retention_days: 14\n  result_retention_days: 2\n  instance_types:\n    - { name: gpu.l4.big, ec2: g6.4xlarge, vcpu: 16, memory: 64Gi, gpus: 1, gpu_type: nvidia-l4, gpu_memory: 24Gi, price_per_hour: 1.3232 }",
    {
      aws: {
        alarm_email: "ops@example.com",
        log_retention_days: 14,
        result_retention_days: 2,
        instance_types: [
          {
            name: "gpu.l4.big",
            ec2: "g6.4xlarge",
            vcpu: 16,
            memory: 64 * 2 ** 30,
            gpus: 1,
            gpu_type: "nvidia-l4",
            gpu_memory: 24 * 2 ** 30,
            price_per_hour: 1.3232,
          },
        ],
      },
    },
    [],
  ],
  [
    "what only AWS has, for a service",
    service(
      "instance_type: gpu.l4.1\naws:\n  backend: ecs\n  fallback_instance_types: [gpu.a10g.1, g6.2xlarge]\n  spot_percent: 50\n  zones: 3\n  warm_pool: 1\n  ami: ami-0123456789abcdef0\n  root_volume: 100Gi\n  model_url: s3://bucket/sdxl/\n  seconds_per_call: 15",
    ),
    ours({
      aws: {
        fallback_instance_types: ["gpu.a10g.1", "g6.2xlarge"],
        spot_percent: 50,
        root_volume: 100 * 2 ** 30,
        model_url: "s3://bucket/sdxl/",
        seconds_per_call: 15,
      },
    }),
    [],
  ],
  [
    "a function with an accelerator",
    service("instance_type: gpu.l4.1\naws:\n  backend: lambda\n  spot_percent: 50\n  seconds_per_call: 1m"),
    ours({ aws: { backend: "lambda", seconds_per_call: 60 } }),
    ["6 spot_percent"],
  ],
  [
    "instances' fields without instances",
    service("instance_type: cpu.1\naws: { zones: 2, warm_pool: 1, root_volume: 50Gi }"),
    ours({ aws: { zones: 2 } }),
    ["4 warm_pool", "4 root_volume"],
  ],
  [
    "Kubernetes' extras",
    service("extras: { bento_request_overrides: { imageBuildTimeout: 600 } }"),
    ours({}),
    ["3 extras"],
  ],
  [
    "groups that mean nothing here",
    overrides(
      "logging: { access: { enabled: no } }\nthreads: 4\nssl: { enabled: true }\nhttp:\n  port: 4000\n  cors: { enabled: true, access_control_allow_origins: ['*'] }",
    ),
    overridden({ http: { cors: { access_control_allow_origins: ["*"] } } }),
    ["4 logging", "5 threads", "6 ssl", "8 port"],
  ],
  [
    "each way to run a new version",
    service("deployment_strategy: BestEffortControlledRollout"),
    ours({ deployment_strategy: "BestEffortControlledRollout" }),
    [],
  ],
];
