import type { DeploymentStrategy } from "#shared/config/config-file.ts";

/**
 * What a deployment is, as plain data: every decision is made and checked in it, and the SST layer only spells it. It can
 * be printed, stored beside the stage, and compared. What AWS alone knows (URLs of queues, ARNs) is not in it: resources
 * are named by service and role, and the SST layer puts in what became of them.
 */
export interface DeploymentPlan {
  readonly version: 1;
  /** Name of the deployment: config-file.yaml's, or bentofile.yaml's, or the entry's. */
  readonly name: string;
  readonly stage: string;
  /** AWS region; prices and zones are this region's. */
  readonly region: string;
  readonly description: string | undefined;
  /** On everything that takes tags; `tandem:deployment`, `tandem:stage` and, on a service's resources, `tandem:service`. */
  readonly tags: Readonly<Record<string, string>>;
  /** Whether data outlives `terminate`: in production. */
  readonly removal: "retain" | "remove";
  readonly entry: EntryPlan;
  /** Callees before callers; the entry last. */
  readonly services: readonly ServicePlan[];
  /** Who calls whom, and how. */
  readonly edges: readonly EdgePlan[];
  readonly network: NetworkPlan | undefined;
  readonly store: StorePlan;
  /** Stored secrets by name, and the variable that services get each as. `sst secret set <sst> <value>` gives its value. */
  readonly secrets: readonly SecretPlan[];
  readonly alarms: readonly AlarmPlan[];
  /** Where alarms go besides their SNS topic. */
  readonly alarmEmail: string | undefined;
  readonly logRetentionDays: number;
  /** Versions beside the main one that get a share of the calls. */
  readonly canary: CanaryPlan | undefined;
  /** What the account must allow, with the command that asks for it. */
  readonly quotas: readonly QuotaPlan[];
  readonly cost: CostPlan;
}

/** The service that users call: always a function with a URL. */
export interface EntryPlan {
  readonly service: string;
  readonly access: "none" | "bearer" | "iam";
  readonly cors: CorsPlan | undefined;
  /** `BUFFERED` in a VPC, where function URLs do not stream. */
  readonly invokeMode: "RESPONSE_STREAM" | "BUFFERED";
}

export interface CorsPlan {
  readonly allowOrigins: readonly string[];
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly allowCredentials: boolean;
  readonly maxAgeSeconds: number;
}

export interface EdgePlan {
  readonly caller: string;
  readonly callee: string;
  readonly transport: "sqs" | "http" | "lambda";
}

export type ServicePlan = FunctionPlan | GpuContainerPlan | ContainerPlan | GpuFunctionPlan;

interface ServiceBase {
  /** The contract's name. */
  readonly name: string;
  /** Label of the canary version that has the service of its own; undefined: it is the main one's. */
  readonly version?: string | undefined;
  /** As given, or as inferred from `resources`: `cpu.1`, `gpu.l4.1`. */
  readonly instanceType: string;
  /** The call's timeout in seconds: what callers are promised. */
  readonly timeout: number;
  readonly maxConcurrency: number;
  /** Calls that a replica takes from its queue at once. */
  readonly concurrency: number;
  readonly scaling: ScalingPlan;
  readonly strategy: DeploymentStrategy;
  /** The service's own queue: for callers over SQS, and for tasks. */
  readonly queue: QueuePlan | undefined;
  /** What users gave, and what Tandem's processes read besides; locations and secrets come on top. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names of its secrets, of `DeploymentPlan.secrets`. */
  readonly secrets: readonly string[];
  /** All that the service may do in the account; functions of its queue have permissions of their own. */
  readonly permissions: readonly Permission[];
}

/** A CPU service as Lambda functions, with an alias `live` that callers and the URL use: one function at the least. */
export interface FunctionPlan extends ServiceBase {
  readonly kind: "function";
  /** What callers invoke, and the URL; undefined where all calls come by queue. */
  readonly function: LambdaPlan | undefined;
  /** Runs the service's own queue, where it has one. */
  readonly queueFunction: QueueFunctionPlan | undefined;
}

/** A function whose event sources are both lanes of a queue. */
export interface QueueFunctionPlan extends LambdaPlan {
  /** Messages of a lane in work at once. */
  readonly maximumConcurrency: number;
  readonly batchSize: 1;
  /** The service's own function has `ServicePlan.permissions`, and this one has these. */
  readonly permissions: readonly Permission[];
  /** Of the service's, those that it has: not the keys of the URL's callers. */
  readonly secrets: readonly string[];
}

export interface LambdaPlan {
  /** Name in AWS. */
  readonly physicalName: string;
  /** `functions/handlers/controlnet.handler`, as SST takes it. */
  readonly handler: string;
  readonly runtime: "nodejs24.x";
  readonly architecture: "arm64" | "x86_64";
  /** MiB. */
  readonly memory: number;
  /** Seconds, at most 900. */
  readonly timeout: number;
  /** Environments kept warm; 0 for none. */
  readonly provisionedConcurrency: number;
  /** Most environments; undefined for the account's. */
  readonly reservedConcurrency: number | undefined;
  /** How traffic moves from one version to the next, by CodeDeploy. */
  readonly shift: LambdaShift;
  readonly inVpc: boolean;
}

/** All at once; so many percent every minute; or a share first and, unless an alarm rings meanwhile, the rest. */
export type LambdaShift =
  | { readonly type: "all-at-once" }
  | { readonly type: "linear"; readonly percent: number; readonly everyMinutes: number }
  | { readonly type: "canary"; readonly percent: number; readonly afterMinutes: number };

/** A queue, its lane that is emptied first, and their dead-letter queue with the function that answers what is in it. */
export interface QueuePlan {
  readonly physicalName: string;
  readonly priorityPhysicalName: string;
  readonly deadLetterPhysicalName: string;
  /** Seconds: of a worker with heartbeat 30; of a function 6 times its timeout, as AWS advises, or two starts. */
  readonly visibilityTimeout: number;
  readonly maxReceiveCount: number;
  /** Seconds that a message is kept: no less than any deadline. */
  readonly retention: number;
  readonly deadLetterFunction: LambdaPlan;
  readonly deadLetterPermissions: readonly Permission[];
}

/** A GPU service as ECS tasks on EC2 instances of an auto scaling group of its own. */
export interface GpuContainerPlan extends ServiceBase {
  readonly kind: "gpu";
  readonly task: TaskPlan;
  readonly capacity: CapacityPlan;
  /** Seconds from zero replicas to the first call's beginning, and what they are made of. */
  readonly startEstimate: StartEstimate;
}

/** A CPU service that exceeds a function, as Fargate tasks. */
export interface ContainerPlan extends ServiceBase {
  readonly kind: "container";
  readonly task: TaskPlan;
}

/** A GPU service as a Lambda function with an accelerator, on managed instances. */
export interface GpuFunctionPlan extends ServiceBase {
  readonly kind: "gpu-function";
  readonly function: GpuLambdaPlan;
  readonly image: ImagePlan;
  /** GPU memory in GiB: 3, 6, 12, 16, 24 or 48. */
  readonly acceleratorMemory: number;
  readonly startEstimate: StartEstimate;
}

/** A function on instances that Lambda runs in the account. */
export interface GpuLambdaPlan {
  /** Name in AWS. */
  readonly physicalName: string;
  /** MB; whole cores of `memoryPerCore` each. */
  readonly memory: number;
  /** GiB. */
  readonly memoryPerCore: number;
  /** MB of `/tmp`, where weights go. */
  readonly storage: number;
  /** Seconds, at most 5400. */
  readonly timeout: number;
  /** EC2 types that Lambda may launch. */
  readonly instanceTypes: readonly string[];
  /** vCPUs of all instances at the most: with the most replicas, and those that replace them. */
  readonly maxVcpus: number;
  /** Messages of a lane in work at once. */
  readonly maximumConcurrency: number;
}

export interface TaskPlan {
  readonly physicalName: string;
  readonly image: ImagePlan;
  /** CPU units, 1024 a core. */
  readonly cpu: number;
  /** MiB: reserved on EC2, the limit on Fargate. */
  readonly memory: number;
  /** GPUs that the task reserves. */
  readonly gpus: number;
  /** One item a worker process: the numbers, within the task, of its GPUs. */
  readonly workers: readonly { readonly gpus: readonly number[] }[];
  /** `host` where calls come by SQS alone, `bridge` behind a load balancer, `awsvpc` on Fargate. */
  readonly networkMode: "host" | "bridge" | "awsvpc";
  /** Seconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number;
  /** Percent of the desired tasks during a deployment. */
  readonly minimumHealthyPercent: number;
  readonly maximumPercent: number;
  readonly circuitBreaker: boolean;
  /** Seconds that a new version is watched before the next step. */
  readonly bakeSeconds: number;
  /** Where weights come from: an `s3://` URL, or one below the deployment's own store; undefined: the image has them. */
  readonly modelUrl: string | undefined;
}

export interface ImagePlan {
  readonly context: string;
  readonly dockerfile: string;
  /** Stage of the Dockerfile; undefined: its last. */
  readonly target: string | undefined;
  readonly platform: "linux/amd64" | "linux/arm64";
  readonly args: Readonly<Record<string, string>>;
}

/** The instances that a GPU service's tasks run on. */
export interface CapacityPlan {
  readonly physicalName: string;
  /** EC2 types in the order in which they are tried when one is sold out. */
  readonly instanceTypes: readonly string[];
  readonly replicasPerInstance: number;
  readonly minInstances: number;
  /** With the most replicas, and those that a rollout starts beside them. */
  readonly maxInstances: number;
  /** Percent of the instances over `minInstances` that are Spot. */
  readonly spotPercent: number;
  /** Availability zones. */
  readonly zones: number;
  /** Stopped instances kept ready. */
  readonly warmPool: number;
  /** An image with the container's image and weights in it; undefined: ECS's own GPU image, by its SSM parameter. */
  readonly ami: string | undefined;
  /** GiB of the encrypted gp3 root volume. */
  readonly rootVolume: number;
  /** Whether weights go to the instance's own NVMe disk. */
  readonly instanceStorage: boolean;
}

export interface ScalingPlan {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** Calls waiting or in work for each replica that scaling aims at. */
  readonly targetPerReplica: number;
  /** Seconds. */
  readonly scaleOutCooldown: number;
  readonly scaleInCooldown: number;
  readonly scaleOut: boolean;
  readonly scaleIn: boolean;
  /** Seconds that a call waits for the first replica. */
  readonly coldStartTimeout: number | undefined;
}

/** Seconds, as estimated; `basis` says from what. */
export interface StartEstimate {
  readonly boot: number;
  readonly pull: number;
  readonly load: number;
  readonly total: number;
  readonly basis: string;
}

/** Something that a service may do, and to what: never `*`, but where AWS has no resource for an action. */
export interface Permission {
  readonly actions: readonly string[];
  readonly on:
    | { readonly kind: "queue" | "priority-queue" | "dead-letter-queue" | "function"; readonly service: string }
    /** The entry's function of a canary version. */
    | { readonly kind: "version"; readonly label: string }
    /** Objects below `<service>/<prefix>` of the store. */
    | { readonly kind: "store"; readonly service: string; readonly prefix: string }
    /** The bucket itself, listed below `<service>/<prefix>` only. */
    | { readonly kind: "store-list"; readonly service: string; readonly prefix: string }
    /** Weights below an `s3://` URL. */
    | { readonly kind: "s3"; readonly url: string }
    | { readonly kind: "task-protection"; readonly service: string }
    | { readonly kind: "any"; readonly why: string };
}

export interface NetworkPlan {
  readonly zones: number;
  /** Whether there are private subnets with a load balancer and functions in them. */
  readonly private: boolean;
  /** Gateway endpoints cost nothing; interface endpoints do. */
  readonly gatewayEndpoints: readonly "s3"[];
  readonly interfaceEndpoints: readonly ("sqs" | "lambda" | "logs")[];
  /** Services behind the private load balancer, and its listener's port for each. */
  readonly loadBalanced: readonly { readonly service: string; readonly port: number }[];
}

/** The bucket that results, claim checks and uploads are in. SST names it: such names are taken for the whole world. */
export interface StorePlan {
  /** Days after which its objects expire. */
  readonly retentionDays: number;
}

export interface SecretPlan {
  /** As the config file has it. */
  readonly name: string;
  /** SST's name of it. */
  readonly sst: string;
  readonly variable: string;
}

export interface AlarmPlan {
  readonly physicalName: string;
  readonly service: string;
  /** Label of the canary version whose service it is; undefined: the main one's. */
  readonly version?: string | undefined;
  /** `version-errors` takes the calls off its version. */
  readonly metric:
    | "queue-age"
    | "dead-letters"
    | "error-rate"
    | "throttles"
    | "gpu-idle"
    | "no-replica"
    | "version-errors";
  readonly threshold: number;
  /** Seconds of one period, and how many must be over the threshold. */
  readonly period: number;
  readonly periods: number;
  /** What it means and what to do, in a sentence. */
  readonly description: string;
}

/**
 * Versions that run beside the main one. The entry's function hands their share of the calls over to them; a function takes
 * the calls off one whose alarm rings.
 */
export interface CanaryPlan {
  readonly route: "random" | "header" | "query";
  /** The header, in small letters, or the query parameter whose value is hashed. */
  readonly routeBy: string | undefined;
  readonly versions: readonly CanaryVersion[];
  readonly rollback: LambdaPlan;
  readonly rollbackPermissions: readonly Permission[];
}

export interface CanaryVersion {
  readonly label: string;
  /** Percent of the calls. */
  readonly weight: number;
  /** Folder of its project, from the main one's; undefined: the same code. */
  readonly bento: string | undefined;
  /**
   * The services that it has of its own: the entry, those that are not as the main version has them, and their callers;
   * callees before callers. Of all others it uses the main version's.
   */
  readonly services: readonly ServicePlan[];
  /** Who calls whom in it, the main version's services included. */
  readonly edges: readonly EdgePlan[];
}

export interface QuotaPlan {
  /** AWS's names: `ec2`, `L-DB2E81BA`. */
  readonly serviceCode: string;
  readonly quotaCode: string;
  readonly name: string;
  readonly needed: number;
  /** What new accounts have. */
  readonly default: number;
  readonly command: string;
}

/** US dollars. */
export interface CostPlan {
  readonly currency: "USD";
  /** Where the figures are from, and from when. */
  readonly basis: string;
  readonly items: readonly CostItem[];
  /** A month (730 hours) with the least and with the most replicas, calls not counted, nor items without a price. */
  readonly monthlyAtMin: number;
  readonly monthlyAtMax: number;
  /** What 1,000 calls of the entry cost besides, at `secondsPerPicture` of GPU time each. */
  readonly callItems: readonly CallCostItem[];
  /** Their sum; undefined without a GPU service, and where a price or the seconds are not known. */
  readonly perThousandPictures: number | undefined;
  readonly secondsPerPicture: number | undefined;
}

/** Undefined figures: no source has the price. */
export interface CostItem {
  readonly service: string | undefined;
  readonly what: string;
  readonly monthlyAtMin: number | undefined;
  readonly monthlyAtMax: number | undefined;
}

export interface CallCostItem {
  readonly service: string | undefined;
  readonly what: string;
  readonly perThousandPictures: number | undefined;
}
