import * as z from "zod";
import { field, unused } from "./field.ts";
import { observability } from "./overrides-observability.ts";
import { cpu, duration, flag, form, memory, numberOr, text, texts, whole, words } from "./values.ts";

/** Graphics processors that BentoML names, and nvidia-l40s. Which of them AWS has is the plan's to know. */
export const GPU_TYPES = [
  "nvidia-tesla-t4",
  "nvidia-l4",
  "nvidia-l40s",
  "nvidia-a10g",
  "nvidia-tesla-a100",
  "nvidia-a100-80gb",
  "nvidia-tesla-h100",
  "nvidia-h100-80gb",
  "nvidia-h200-141gb",
  "nvidia-b200",
  "nvidia-gb200",
  "nvidia-rtx-pro-6000",
  "nvidia-tesla-v100",
  "nvidia-tesla-p100",
  "nvidia-tesla-k80",
  "nvidia-tesla-p4",
  "amd-mi300x",
  "amd-mi325x",
  "amd-mi355x",
] as const;

/** Processes of a replica, and the GPUs of each where the file deals them out. */
export interface Workers {
  count: number | "cpu_count";
  /** One item a worker: how many GPUs it has, or which. */
  gpus?: (number | number[])[];
}

const traffic = z.strictObject(
  {
    timeout: field(duration(), {
      about: "Seconds a call may take, or a text such as 15m (BentoML reads numbers only)",
      default: "the service's own, or 60",
      here: "used",
      cloud: "deadline of a call; what is longer than a function may run needs a container",
      editor: numberOr(/^(\d+(\.\d+)?(ms|s|m|h))+$/),
    }),
    max_concurrency: field(whole(1), {
      about: "Calls in work at once in a replica; more are refused with 429",
      default: "the service's own, or 1024",
      here: "used",
      cloud: "the same",
    }),
    concurrency: field(whole(1), {
      about: "Calls that a replica takes from its queue at once, and the autoscaler's target for one",
      default: "the service's own, or max_concurrency",
      here: "used",
      cloud: "the same, and target of scaling",
    }),
    external_queue: field(flag(), {
      about: "Calls of other services wait in a queue, SQS, until a replica has room",
      default: "false",
      here: "used",
      cloud: "SQS as the transport",
    }),
  },
  { error: "must be a mapping" },
);

const gpuCount = z
  .number({ error: "must be a number over 0" })
  .gt(0, { error: "must be a number over 0" })
  .refine((count) => count < 1 || Number.isInteger(count), { error: "must be below 1, to share a card, or whole" });

const resources = z.strictObject(
  {
    cpu: field(cpu(), {
      about: "Cores: 2, 0.5 or 400m",
      here: "—",
      cloud: "share of the machine; memory of a function",
      editor: numberOr(/^\d+(\.\d+)?m?$/),
    }),
    memory: field(memory(), {
      about: "Memory: 512Mi, 1Gi, 2G; a number counts GiB",
      here: "—",
      cloud: "memory of the container or function",
      editor: numberOr(/^\d+(\.\d+)? ?(([KMGT]i?B?)|k)?$/),
    }),
    gpu: field(gpuCount, { about: "GPUs of a replica; below 1 shares a card", here: "—", cloud: "GPU reservation" }),
    gpu_type: field(words(GPU_TYPES), { about: "Which GPU", here: "—", cloud: "picks the machine" }),
    tpu_type: field(z.undefined({ error: "must be left out: AWS has no TPUs, take gpu_type such as nvidia-l4" }), {
      about: "Refused: AWS has no TPUs",
      here: "refused",
      cloud: "refused",
    }),
  },
  { error: "must be a mapping" },
);

const gpus = z.union(
  [whole(0), z.array(whole(0), { error: "must be a list of GPU numbers" }).min(1, { error: "must not be empty" })],
  { error: "must be a number of GPUs, or a list of their numbers" },
);

const workerItem = z.strictObject(
  {
    gpus: field(gpus, { about: "GPUs of this worker, or a list of their numbers", here: "counted", cloud: "its GPUs" }),
    gpu: field(gpus, { about: "The same, as BentoML's older documents write it", here: "counted", cloud: "its GPUs" }),
  },
  { error: "must be a mapping such as gpus: 1" },
);

const workers = z
  .union([whole(1), z.literal("cpu_count"), z.array(workerItem).min(1, { error: "must name at least one worker" })], {
    error: "must be a whole number from 1, cpu_count, or a list with one item a worker",
  })
  .transform(
    (value): Workers =>
      Array.isArray(value)
        ? { count: value.length, gpus: value.map(({ gpu, gpus = gpu ?? 0 }) => gpus) }
        : { count: value },
  );

const NODE_HTTP = "ignored: Tandem's server has no such setting";
const TRANSPORT = "ignored: Tandem's connections between services have no such setting";

/** `config_overrides`: arguments of `service()` that a deployment replaces. */
export const overrides = z.strictObject(
  {
    traffic: field(traffic, { about: "Timeout, limits and the queue", here: "used", cloud: "used" }),
    resources: field(resources, {
      about: "What a replica needs",
      default: "the service's own",
      here: "—",
      cloud: "used",
    }),
    workers: field(workers, {
      about: "Processes a replica: a number, cpu_count, or a list with one item a worker",
      default: "the service's own, or 1",
      here: "used",
      cloud: "processes of a container; calls that a function's replica may have",
    }),
    threads: unused(whole(1), "Threads of synchronous methods", "ignored: methods are asynchronous; use workers"),
    backlog: unused(whole(64), "Connections that may wait", NODE_HTTP),
    max_runner_connections: unused(whole(1), "Connections to a dependency", TRANSPORT),
    runner_connection: unused(
      z.strictObject(
        {
          max_requests: unused(whole(1), "Calls over one connection", TRANSPORT),
          max_age: unused(whole(1), "Seconds that a connection is kept", TRANSPORT),
        },
        { error: "must be a mapping" },
      ),
      "Connections to dependencies",
      TRANSPORT,
    ),
    replicate_process: unused(flag(), "A process a worker", "ignored: every worker is a process of its own"),
    extra_ports: unused(
      z.array(whole(1, 65535), { error: "must be a list of ports" }),
      "Further ports of the container",
      "ignored: a service has one port",
    ),
    ...observability,
    http: field(http(), { about: "The HTTP server", here: "—", cloud: "CORS only" }),
    ssl: unused(z.record(z.string(), z.unknown(), { error: "must be a mapping" }), "TLS", "ignored: AWS ends TLS"),
    grpc: unused(
      z.record(z.string(), z.unknown(), { error: "must be a mapping" }),
      "The gRPC server",
      "ignored: services speak HTTP and SQS",
    ),
    endpoints: unused(
      z.strictObject(
        {
          livez: unused(text(), "Path of the liveness probe", "ignored: it is /livez"),
          readyz: unused(text(), "Path of the readiness probe", "ignored: it is /readyz"),
        },
        { error: "must be a mapping" },
      ),
      "Paths of the probes",
      "ignored: they are /livez and /readyz",
    ),
  },
  { error: "must be a mapping" },
);

function http() {
  const place = "ignored: tandem serve has --host and --port, and AWS decides in the cloud";
  const corsOf = (about: string) => ({ about, here: "—", cloud: "CORS of the entry's URL" });
  const origin = form(/^(\*|https?:\/\/[^/\s]+)$/, "must be * or an origin such as https://app.example.com");
  const cors = z.strictObject(
    {
      enabled: field(flag(), { ...corsOf("Whether other origins may call"), default: "false" }),
      access_control_allow_origins: field(
        z.union([origin, z.array(origin)], { error: "must be an origin or a list of them" }),
        corsOf("Origins that may call"),
      ),
      access_control_allow_credentials: field(flag(), corsOf("Whether cookies are sent")),
      access_control_allow_methods: field(z.union([text(), texts()]), corsOf("Methods that may be used")),
      access_control_allow_headers: field(z.union([text(), texts()]), corsOf("Headers that may be sent")),
      access_control_allow_origin_regex: unused(
        text(),
        "Origins that may call, as a pattern",
        "ignored: function URLs know no patterns; list them in access_control_allow_origins",
      ),
      access_control_max_age: field(whole(0), corsOf("Seconds that a browser keeps the answer")),
      access_control_expose_headers: field(z.union([text(), texts()]), corsOf("Headers that a page may read")),
    },
    { error: "must be a mapping" },
  );
  return z.strictObject(
    {
      host: unused(text(), "Address that the server listens on", place),
      port: unused(whole(0, 65535), "Port that the server listens on", place),
      proxy_port: unused(whole(0, 65535), "Port of the proxy", place),
      cors: field(cors, { about: "Calls from other origins", here: "—", cloud: "CORS of the entry's URL" }),
      response: unused(
        z.strictObject({ trace_id: unused(flag(), "Whether answers carry the trace's id", NODE_HTTP) }),
        "Headers of answers",
        NODE_HTTP,
      ),
    },
    { error: "must be a mapping" },
  );
}
