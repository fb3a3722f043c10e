import * as z from "zod";
import { field, required } from "./field.ts";
import { GPU_TYPES } from "./overrides.ts";
import { duration, form, memory, numberOr, positive, whole, words } from "./values.ts";

/** Days that CloudWatch keeps logs for: it takes no others. */
const LOG_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/** A machine's name, such as `gpu.l4.1` or `g6.xlarge`. */
export function instanceType() {
  return form(/^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+$/, "must be a family and a size, such as cpu.1 or gpu.l4.1");
}

function logDays() {
  return whole(1).superRefine((days, context) => {
    if (LOG_DAYS.includes(days)) return;
    const hint = `write ${LOG_DAYS.find((known) => known > days) ?? LOG_DAYS.at(-1)}`;
    context.addIssue({
      code: "custom",
      message: "is no number of days that CloudWatch keeps logs for",
      params: { hint },
    });
  });
}

const quantity = numberOr(/^\d+(\.\d+)? ?(([KMGT]i?B?)|k)?$/);

/** What EC2 has as the least root volume of ECS's GPU image, in bytes. */
const LEAST_ROOT_VOLUME = 30 * 2 ** 30;

const addedInstanceType = z.strictObject(
  {
    name: required(instanceType(), { about: "Its name in instance_type", here: "—", cloud: "used" }),
    ec2: required(form(/^[a-z][a-z0-9-]*\.[a-z0-9-]+$/, "must be EC2's name of it, such as g6.4xlarge"), {
      about: "EC2's name of the machine",
      here: "—",
      cloud: "the instances' type",
    }),
    vcpu: required(whole(1), { about: "Its virtual CPUs", here: "—", cloud: "sizes of tasks; quota" }),
    memory: required(memory(), { about: "Its memory", here: "—", cloud: "sizes of tasks", editor: quantity }),
    gpus: required(whole(1), { about: "Its GPUs", here: "—", cloud: "replicas an instance" }),
    gpu_type: required(words(GPU_TYPES), { about: "Which GPUs", here: "—", cloud: "found by resources.gpu_type" }),
    gpu_memory: field(memory(), {
      about: "Memory of each GPU",
      default: "EC2's, where Tandem knows the machine",
      here: "—",
      cloud: "printed",
      editor: quantity,
    }),
    price_per_hour: field(positive(), {
      about: "US dollars an hour, on demand",
      default: "AWS's in us-east-1, where Tandem knows the machine",
      here: "—",
      cloud: "costs",
    }),
  },
  { error: "must be a mapping with name, ec2, vcpu, memory, gpus and gpu_type" },
);

/** `aws` at the top: what BentoCloud has no word for, of the whole deployment. */
export const deploymentOnAws = z.strictObject(
  {
    alarm_email: field(form(/^[^@\s]+@[^@\s]+\.[^@\s]+$/, "must be an e-mail address"), {
      about: "Who is told of alarms; AWS asks them to confirm",
      here: "—",
      cloud: "subscription of the alarms' topic",
    }),
    log_retention_days: field(logDays(), {
      about: "Days that logs are kept",
      default: "14",
      here: "—",
      cloud: "retention of the log groups",
      editor: { enum: LOG_DAYS },
    }),
    result_retention_days: field(whole(1, 3650), {
      about: "Days that results, uploads and stored payloads are kept",
      default: "1",
      here: "—",
      cloud: "lifecycle rule of the bucket",
    }),
    instance_types: field(z.array(addedInstanceType, { error: "must be a list of machines" }), {
      about: "Machines beside the catalogue's; one with a known name replaces it",
      here: "—",
      cloud: "used",
    }),
  },
  { error: "must be a mapping" },
);

/** `services.<Name>.aws`: what BentoCloud has no word for, of one service. */
export const serviceOnAws = z.strictObject(
  {
    backend: field(words(["ecs", "lambda"]), {
      about: "What a GPU service runs on: ecs for containers on EC2, lambda for a function with an accelerator",
      default: "ecs",
      here: "—",
      cloud: "ECS service, or stack of a function and its capacity provider",
    }),
    fallback_instance_types: field(z.array(instanceType(), { error: "must be a list of instance types" }), {
      about: "Machines that are tried, in this order, when instance_type is sold out",
      here: "—",
      cloud: "overrides of the auto scaling group",
    }),
    spot_percent: field(whole(0, 100), {
      about: "Percent of the instances above the minimum that are Spot",
      default: "0",
      here: "—",
      cloud: "instances distribution of the auto scaling group",
    }),
    zones: field(whole(1, 6), {
      about: "Availability zones",
      default: "3 with a GPU, else 2",
      here: "—",
      cloud: "subnets",
    }),
    warm_pool: field(whole(0), {
      about: "Stopped instances kept ready: a shorter boot",
      default: "0",
      here: "—",
      cloud: "warm pool of the auto scaling group",
    }),
    ami: field(form(/^ami-([0-9a-f]{8}|[0-9a-f]{17})$/, "must be the id of an image, such as ami-0123456789abcdef0"), {
      about: "Image with the container's image and the weights in it",
      default: "ECS's own for GPUs",
      here: "—",
      cloud: "launch template",
    }),
    root_volume: field(
      memory().refine((bytes) => bytes >= LEAST_ROOT_VOLUME, {
        error: "is less than the 30Gi of ECS's image",
        params: { hint: "write 30Gi or more" },
      }),
      { about: "Root disk of an instance", default: "100Gi", here: "—", cloud: "launch template", editor: quantity },
    ),
    model_url: field(
      form(
        /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/\S*)?$/,
        "must be a bucket or what is below it, such as s3://bucket/sdxl/",
      ),
      {
        about: "Where weights come from",
        default: "the image has them",
        here: "—",
        cloud: "copied when a task, or a function's environment, starts; a function has room for 10 GB",
      },
    ),
    seconds_per_call: field(duration(), {
      about: "Seconds of GPU time that a call takes, to reckon costs and scaling with",
      default: "by GPU type",
      here: "—",
      cloud: "costs, targets of scaling",
      editor: numberOr(/^(\d+(\.\d+)?(ms|s|m|h))+$/),
    }),
  },
  { error: "must be a mapping" },
);
