import type { Service } from "#shared/service/contract.ts";
import { contract } from "./planned.ts";

const Slow = contract("Slow", { traffic: { timeout: 2000 } });
const SlowEntry = contract("SlowEntry", { traffic: { timeout: 900 }, dependencies: [Slow] });
const Lonely = contract("Lonely");
const Front = contract("Front", { dependencies: [Lonely] });
const Queued = contract("A-queue");
const Shadow = contract("A", { dependencies: [Queued] });
const Priority = contract("APriority");
const Plain = contract("A", { dependencies: [Priority], traffic: { timeout: 300 } });
const Live = contract("A-live", { resources: { gpu: 1, gpuType: "nvidia-l4" }, traffic: { timeout: 30 } });
const Rollback = contract("canary-rollback");
const Small = contract("line_art");
const Dashed = contract("Line_Art", { dependencies: [Small] });
const Sick = contract("Sick", { resources: { cpu: "4 cores", memory: "lots" } });
const Herd = contract("Herd", { resources: { gpu: 1, gpuType: "nvidia-l4" }, traffic: { timeout: 60 } });
const Shepherd = contract("Shepherd", { dependencies: [Herd] });

const Twin = contract("ControlNetVersionNext");
const Double = contract("ControlNet", { dependencies: [Twin] });

const canary = (versions: string, more = ""): string =>
  `${more}canary:\n  route_type: random\n  versions:\n${versions.replace(/^/gm, "    ")}`;
const sdxl = (text: string): string => `services:\n  SDXLControlNetService:\n${text.replace(/^/gm, "    ")}`;
const entry = (text: string): string => `services:\n  ControlNet:\n${text.replace(/^/gm, "    ")}`;
const PRICE = "SDXLControlNetService always has 1 replica";

/**
 * What the planner says of config files: the rule, the file, and the services where they are not the seed's. A line ends in
 * `#! ` and an error, or `#? ` and a warning; several errors of a line have ` & ` between them. Of a replica that is always there,
 * whose price is told, every file that does not say min_replicas: 0 would have the warning: it is left out.
 */
export const TOLD: readonly (readonly [rule: string, yaml: string, services?: readonly Service[]])[] = [
  ["an unknown machine", sdxl("instance_type: gpu.l5.1 #! no such instance type; did you mean gpu.l4.1?")],
  [
    "a machine that AWS does not sell",
    sdxl("instance_type: gpu.a100.1 #! AWS sells nvidia-tesla-a100 by 8 a machine; "),
  ],
  [
    "a GPU that AWS has not",
    sdxl("config_overrides:\n  resources: { gpu: 1, gpu_type: nvidia-tesla-p4 } #! nvidia-tesla-p4"),
  ],
  [
    "more GPUs than the machine has",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { gpu: 2 } #! a replica of SDXLControlNetService wants 2 GPUs, and gpu.l4.1 (g6.xlarge) has 1; take gpu.l4.4",
    ),
  ],
  [
    "more workers than the machine has GPUs",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  workers: [{ gpus: 1 }, { gpus: 1 }, { gpus: 1 }, { gpus: 1 }] #! wants 4 GPUs, and gpu.l4.1 (g6.xlarge) has 1; take gpu.l4.4",
    ),
  ],
  [
    "more memory than the machine has",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { memory: 20Gi } #! wants 20480 MiB, and gpu.l4.1 (g6.xlarge) has 14899 MiB for tasks; take g6.2xlarge",
    ),
  ],
  [
    "more cores than the machine has",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { cpu: 6 } #! wants 6 cores, and gpu.l4.1 (g6.xlarge) has 4; take g6.2xlarge",
    ),
  ],
  [
    "a GPU service on a machine without one",
    sdxl("instance_type: cpu.2 #! SDXLControlNetService wants nvidia-l4, and cpu.2 has no GPU; take gpu.l4.1"),
  ],
  [
    "another GPU than the contract's",
    sdxl(
      "instance_type: gpu.t4.1 #? SDXLControlNetService asks for nvidia-l4, and gpu.t4.1 has nvidia-tesla-t4\nscaling: { min_replicas: 0 }",
    ),
  ],
  [
    "a machine with GPUs to spare",
    sdxl(
      "instance_type: gpu.l4.4 #? SDXLControlNetService uses 2 of the 4 GPUs of gpu.l4.4; all are paid for\nscaling: { min_replicas: 0, max_replicas: 2 }",
    ),
  ],
  [
    "a number of a GPU that is not there",
    sdxl(
      "instance_type: gpu.l4.4\nconfig_overrides:\n  workers: [{ gpus: [0] }, { gpus: [5] }] #! GPU 5 is named, and SDXLControlNetService would use 2; number them from 0 to 1",
    ),
  ],
  [
    "GPUs that cannot be dealt evenly",
    sdxl(
      "instance_type: gpu.l4.4\nconfig_overrides:\n  resources: { gpu: 3 } #! 3 GPUs cannot be dealt out evenly to 2 workers; write workers as a list\n  workers: 2",
    ),
  ],
  [
    "a part of a GPU",
    sdxl(
      "config_overrides:\n  resources: { gpu: 0.5 } #? ECS gives out whole GPUs: each replica of SDXLControlNetService gets one for its 0.5; with workers: 2 and gpu: 1 so many processes share it",
    ),
  ],
  [
    "workers that share a GPU",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { gpu: 1 }\n  workers: 3 #? 3 workers share one GPU: each loads the model into its memory; resources.gpu: 3 gives each a GPU of its own",
    ),
  ],
  [
    "little memory for a model",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { memory: 1Gi } #? 1024 MiB is little for a model's weights; it is reserved, not a limit: a replica may use about 14899 MiB",
    ),
  ],
  [
    "an entry that is too large for a function",
    entry(
      "instance_type: cpu.8 #! ControlNet is the entry and must be a function: cpu.8 is over a function's 10,240 MB; take cpu.4 or less",
    ),
  ],
  [
    "an entry that takes longer than a function may",
    entry(
      "config_overrides:\n  traffic: { timeout: 1000 } #! ControlNet is the entry and must be a function: its timeout of 1000 s is over the 900 s of a function; write 900 or less",
    ),
  ],
  [
    "an entry on a GPU",
    entry(
      "instance_type: gpu.l4.1 #! ControlNet is the entry and must be a function: gpu.l4.1 is a GPU instance; put a service in front of it",
    ),
  ],
  [
    "more memory than a function's size has",
    entry(
      "instance_type: cpu.1\nconfig_overrides:\n  resources: { memory: 4Gi } #! ControlNet wants 4096 MiB, and cpu.1 has 2048; take cpu.4",
    ),
  ],
  [
    "more cores than a function's size has",
    entry(
      "instance_type: cpu.1\nconfig_overrides:\n  resources: { cpu: 2 } #! ControlNet wants 2 cores, and cpu.1 has 1.15; take cpu.4",
    ),
  ],
  [
    "a caller that gives up first",
    sdxl(
      "config_overrides:\n  traffic: { timeout: 700 } #? ControlNet gives a call 600 s, and SDXLControlNetService, which it calls, may take 700 s: the caller gives up first; set services.ControlNet.config_overrides.traffic.timeout to 700 or more",
    ),
  ],
  [
    "a caller that can never wait long enough",
    "services: #? SlowEntry gives a call 900 s, and Slow, which it calls, may take 2000 s: the caller gives up first; lower Slow's\n  Slow: #? a replica of Slow takes 1024 calls from its queue at once",
    [Slow, SlowEntry],
  ],
  [
    "a call that is longer than SQS hides a message",
    sdxl(
      "config_overrides:\n  traffic: { timeout: 13h } #! a call of SDXLControlNetService may take 46800 s, and SQS hides a message for 43200 s at most #? the caller gives up first",
    ),
  ],
  [
    "nothing that would wake what scales to zero",
    sdxl(
      "scaling: { min_replicas: 0 }\nconfig_overrides:\n  traffic: { external_queue: false } #! SDXLControlNetService may have no replica (min_replicas: 0), and without a queue nothing would wake it; leave it out, or write min_replicas: 1",
    ),
  ],
  [
    "a queue of the entry",
    entry(
      "config_overrides:\n  traffic:\n    concurrency: 1\n    external_queue: true #? has no effect: no service calls ControlNet, the entry, and its tasks wait in a queue anyway",
    ),
  ],
  [
    "more concurrency than an account has",
    entry(
      "scaling: { max_replicas: 120 } #? functions reserve 960 executions at once: a new account has 1000, of which 100 cannot be reserved",
    ),
  ],
  [
    "a rolling update of one replica",
    sdxl(
      "instance_type: gpu.l4.1\nscaling: { min_replicas: 0, max_replicas: 1 }\ndeployment_strategy: RollingUpdate #? RollingUpdate starts the new replica beside the old one: while it does, SDXLControlNetService needs 2 replicas, 2 g6.xlarge; have the quota for 8 vCPUs",
    ),
  ],
  [
    "a wait that is shorter than a start",
    sdxl(
      "scaling: { min_replicas: 0 }\ncold_start_timeout: 60 #? SDXLControlNetService needs about 207 s for a start, and a call waits for 60 s; write 240",
    ),
  ],
  [
    "callers that are gone before a start",
    "services:\n  Herd:\n    scaling:\n      min_replicas: 0 #? the first call after a pause fails: Herd needs about 207 s for a start, and Shepherd waits for 60 s\n    config_overrides: { traffic: { concurrency: 2 } }",
    [Herd, Shepherd],
  ],
  [
    "a warm pool of Spot instances",
    sdxl(
      "aws:\n  spot_percent: 50\n  warm_pool: 1 #! an auto scaling group that launches Spot instances can have no warm pool",
    ),
  ],
  [
    "a fallback that is too small",
    sdxl(
      "instance_type: g6.4xlarge\nconfig_overrides:\n  resources: { cpu: 8 }\naws:\n  fallback_instance_types: [gpu.a10g.1] #! gpu.a10g.1 is too small for a replica of SDXLControlNetService: it has 1 GPU, 4 cores and 14899 MiB for tasks",
    ),
  ],
  [
    "a fallback that nobody knows",
    sdxl("aws:\n  fallback_instance_types: [gpu.a10.1] #! no such instance type; did you mean gpu.a10g.1?"),
  ],
  [
    "fields of GPUs on a service without one",
    entry(
      "aws:\n  spot_percent: 50 #? has no effect: ControlNet asks for no GPU\n  model_url: s3://weights/x/ #? has no effect: ControlNet asks for no GPU",
    ),
  ],
  ["a backend of a service without a GPU", entry("aws:\n  backend: lambda #! ControlNet asks for no GPU")],
  [
    "several GPUs of a function",
    sdxl(
      "instance_type: gpu.l4.4\nconfig_overrides: { workers: 4 }\naws:\n  backend: lambda #! a function has one GPU and one worker, and a replica of SDXLControlNetService has 4 and 4; take backend: ecs",
    ),
  ],
  [
    "a GPU that functions have not",
    sdxl(
      "instance_type: p5.4xlarge #? asks for nvidia-l4\naws:\n  backend: lambda #! functions have GPUs of 3, 6, 12, 16, 24, 48 GiB, and gpu.h100.1 has 80",
    ),
  ],
  [
    "little memory of a function with a GPU",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { memory: 1Gi } #! 1024 MiB are less than the 2048 MB that a function with a GPU has at the least\naws: { backend: lambda }",
    ),
  ],
  [
    "more memory than Lambda leaves of the machine",
    sdxl(
      "instance_type: gpu.l4.1\nconfig_overrides:\n  resources: { memory: 14Gi } #! SDXLControlNetService wants 4 cores and 16 GiB, and a function on gpu.l4.1 has 3 and 12 at the most; ask for less, or take a larger instance_type\naws: { backend: lambda }",
    ),
  ],
  [
    "what Lambda does in its own way with GPUs",
    sdxl(
      "instance_type: gpu.l4.1\ndeployment_strategy: RollingUpdate #? has no effect: Lambda replaces what runs of SDXLControlNetService, a function with a GPU, all at once\nscaling:\n  min_replicas: 1\n  policy: { scale_up_behavior: stable } #? has no effect: Lambda scales SDXLControlNetService, a function with a GPU, by how busy GPU and cores are\naws: { backend: lambda }",
    ),
  ],
  [
    "more variables than a function with a GPU has room for",
    sdxl(
      `instance_type: gpu.l4.1\naws: { backend: lambda }\nscaling: { min_replicas: 1 }\nenvs: #! the variables of SDXLControlNetService have 4001 bytes, and a function has room for 3072 beside Tandem's own\n  - name: A\n    value: ${"x".repeat(4000)}`,
    ),
  ],
  [
    "variables of the deployment's own",
    "envs:\n  - name: TANDEM_SERVICES #! TANDEM_SERVICES is the deployment's own; leave it out: where services are is the deployment's to say\n    value: '{}'\n  - name: TANDEM_API_KEYS #? keys in the file are seen by everybody who reads it\n    value: 0123456789abcdef",
  ],
  [
    "more variables than a function has room for",
    `envs: #! the variables of ControlNet have 4001 bytes, and a function has room for 3072 beside Tandem's own\n  - name: A\n    value: ${"x".repeat(4000)}`,
  ],
  [
    "labels that are no tags",
    "labels:\n  - key: aws:team #! label aws:team is reserved\n    value: x\n  - key: mood #! label mood cannot be a tag of AWS's\n    value: 'so so; la la'",
  ],
  [
    "secrets of one name",
    'secrets:\n  - hf-token\n  - hfToken #! "hfToken" is HfToken to SST, as "hf-token" is; rename one',
  ],
  [
    "CORS that is not switched on",
    entry(
      "config_overrides:\n  http:\n    cors: #? has no effect without enabled: true\n      access_control_allow_origins: '*'",
    ),
  ],
  [
    "CORS that a function URL cannot have",
    entry(
      "config_overrides:\n  http:\n    cors:\n      enabled: true\n      access_control_allow_credentials: true #! browsers send no cookies where every origin may call\n      access_control_allow_methods: [GET, TRACE] #! TRACE cannot be allowed by a function URL\n      access_control_max_age: 100000 #! 100000 s are over a day",
    ),
  ],
  [
    "CORS of a service without a URL",
    sdxl(
      "config_overrides:\n  http:\n    cors: { enabled: true } #? has no effect: SDXLControlNetService has no URL of its own, ControlNet has; move it to services.ControlNet",
    ),
  ],
  [
    "functions in the VPC",
    "services:\n  SDXLControlNetService:\n    config_overrides:\n      traffic: { external_queue: false }\n  ControlNet: #? ControlNet calls over HTTP, so its functions are in the VPC",
  ],
  [
    "what nobody exports",
    "services:\n  Front: {} #? Front calls Lonely, which service.ts does not export: it is not deployed",
    [Front],
  ],
  [
    "services with one function's name",
    "services:\n  A: {} #! A and A-queue would both have a function deployment-dev-a-queue; rename one\n  A-queue: {}\nname: deployment",
    [Queued, Shadow],
  ],
  [
    "services with one queue's name to Pulumi",
    "services:\n  A: {} #! A and APriority would both have a queue APriorityQueue in Pulumi; rename one\n  APriority: { config_overrides: { traffic: { external_queue: true } } }",
    [Priority, Plain],
  ],
  [
    "services with one component's name to SST, which knows no capitals",
    "services:\n  Herd: {}\n  herdcluster: {} #! herdcluster and Herd would both have a component herdcluster; rename one",
    [Herd, contract("herdcluster", { dependencies: [Herd] })],
  ],
  [
    "services with one stack's name",
    "name: deployment\nservices:\n  A: {} #! A and A-live would both have a stack deployment-dev-a-live; rename one\n  A-live: { instance_type: gpu.l4.1, aws: { backend: lambda }, scaling: { min_replicas: 0 } }",
    [Live, contract("A", { dependencies: [Live] })],
  ],
  [
    "a service with the name of what every deployment has",
    "services:\n  App: {} #! App and SST itself would both have a component app; rename App\n  Store: {} #! Store and the deployment's store would both have a component store; rename Store\n  HfToken: {} #! HfToken and secret hf-token would both have a component hftoken; rename HfToken\nsecrets: [hf-token]",
    ["App", "Store", "HfToken"].map((name) => contract(name)),
  ],
  [
    "a service with the name of what a canary has",
    canary(
      "next: { weight: 5 }",
      "name: deployment\nservices:\n  canary-rollback: {} #! canary-rollback and the canary's rollback would both have a function deployment-dev-canary-rollback; rename canary-rollback\n",
    ),
    [Rollback, contract("Front", { dependencies: [Rollback] })],
  ],
  [
    "canary versions of which one has a queue that is another's to Pulumi",
    canary(
      "next: { weight: 5 }\nnext-priority: { weight: 5 } #! ControlNet of version next-priority and ControlNet of version next would both have a queue ControlNetVersionNextPriorityQueue in Pulumi; rename the version",
    ),
  ],
  [
    "canary versions that have one name to SST",
    canary(
      "next-2: { weight: 5 }\nnext2: { weight: 5 } #! ControlNet of version next2 and ControlNet of version next-2 would both have a component controlnetversionnext2; rename the version",
    ),
  ],
  [
    "a canary version that is called as a role is",
    canary(
      "queue: { weight: 5 } #! ControlNet of version queue and ControlNet would both have a function deployment-dev-controlnet-queue; rename the version",
      "name: deployment\n",
    ),
  ],
  [
    "a canary version that is called as a service is",
    canary(
      "next: { weight: 5 } #! ControlNet of version next and ControlNetVersionNext would both have a component controlnetversionnext; rename the version",
    ),
    [Twin, Double],
  ],
  [
    "more canary versions than the entry has room for",
    "canary:\n  route_type: random\n  versions: { a: { weight: 1 }, b: { weight: 1 }, c: { weight: 1 }, d: { weight: 1 }, e: { weight: 1 } } #! 5 versions are too many; keep 4",
  ],
  [
    "a canary without versions",
    "canary:\n  route_type: random\n  versions: {} #? there are none: all calls go to main; add one",
  ],
  [
    "what is wrong in a canary version, where it says it",
    canary(
      "next:\n  weight: 5\n  services:\n    ControlNet: { instance_type: cpu.8 } #! ControlNet is the entry and must be a function: cpu.8 is over a function's 10,240 MB\n    SDXLControlNetService:\n      instance_type: gpu.l5.1 #! no such instance type; did you mean gpu.l4.1?",
    ),
  ],
  [
    "a canary version's variables that are the deployment's own",
    canary(
      "next:\n  weight: 5\n  envs:\n    - { name: KIND, value: x }\n    - { name: TANDEM_CANARY, value: x } #! TANDEM_CANARY is the deployment's own; leave it out: canary says how calls are split\n  services:\n    ControlNet:\n      envs: [{ name: TANDEM_VERSION, value: x }] #! canary.versions.next.services.ControlNet.envs[0].name: TANDEM_VERSION is the deployment's own",
      "envs: [{ name: MAIN, value: x }]\nservices:\n  ControlNet:\n    envs: [{ name: MORE, value: x }]\n",
    ),
  ],
  [
    "what is wrong in the main version once, and not again for a canary's",
    canary(
      "next: { weight: 5 }",
      "services:\n  ControlNet: { instance_type: cpu.8 } #! ControlNet is the entry and must be a function\n",
    ),
  ],
  [
    "a canary version's own service behind the load balancer",
    canary(
      "next:\n  weight: 5\n  services:\n    SDXLControlNetService: { instance_type: gpu.a10g.1 }",
      "services:\n  SDXLControlNetService:\n    config_overrides:\n      traffic: { external_queue: false } #! the load balancer has one SDXLControlNetService, and a canary version would have another\n",
    ),
  ],
  [
    "CORS of a canary version",
    canary(
      "next:\n  weight: 5\n  services:\n    ControlNet:\n      config_overrides:\n        http:\n          cors: { enabled: true } #? has no effect: a version has no URL of its own; move it to services.ControlNet",
    ),
  ],
  [
    "a canary version's secret of another's name",
    canary(
      'next:\n  weight: 5\n  secrets: [hfToken] #! "hfToken" is HfToken to SST, as "hf-token" is; rename one',
      "secrets: [hf-token]\n",
    ),
  ],
  [
    "services with one name but for case, - and _",
    "services:\n  line_art: {}\n  Line_Art: {} #! Line_Art and line_art have one name in AWS, line-art; rename one & Line_Art and line_art would both have a function deployment-dev-line-art; rename one\nname: deployment",
    [Small, Dashed],
  ],
  [
    "a contract that cannot be read",
    "services:\n  Sick: {} #! resources.cpu of the service's contract must be cores & resources.memory of the service's contract must be memory",
    [Sick],
  ],
];

/** Whether it is the price of a replica that is always there. */
export function isPrice(message: string): boolean {
  return message.startsWith(PRICE) || / always has \d+ replicas?, /.test(message);
}
