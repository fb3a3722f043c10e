import * as z from "zod";
import { deploymentOnAws, instanceType, serviceOnAws } from "./aws-fields.ts";
import { labels, secrets, variables } from "./environment.ts";
import { field, required, unused } from "./field.ts";
import { overrides } from "./overrides.ts";
import { anyMapping, between, form, text, whole, wholeSeconds, words } from "./values.ts";

export const STRATEGIES = ["RollingUpdate", "Recreate", "RampedSlowRollout", "BestEffortControlledRollout"] as const;

const BEHAVIOURS = ["fast", "stable", "disabled"] as const;

const metric = z.strictObject(
  {
    type: required(words(["cpu", "memory", "gpu", "qps"]), { about: "What is measured", here: "—", cloud: "—" }),
    value: required(z.union([z.number(), text()], { error: "must be a number or a quantity" }), {
      about: "Its average in a replica",
      here: "—",
      cloud: "—",
    }),
  },
  { error: "must be a mapping with type and value" },
);

const scalingPolicy = z.strictObject(
  {
    scale_up_stabilization_window: field(wholeSeconds(0, 3600), {
      about: "Seconds of load before replicas are added",
      default: "0",
      here: "—",
      cloud: "cooldown of scaling out",
    }),
    scale_down_stabilization_window: field(wholeSeconds(0, 3600), {
      about: "Seconds of quiet before replicas are taken away",
      default: "600",
      here: "—",
      cloud: "cooldown of scaling in",
    }),
    scale_up_behavior: field(words(BEHAVIOURS), {
      about: "Older word for the window: fast is 0, stable 600, disabled never adds",
      default: "fast",
      here: "—",
      cloud: "cooldown of scaling out",
    }),
    scale_down_behavior: field(words(BEHAVIOURS), {
      about: "Older word for the window: fast is 0, stable 600, disabled never takes away",
      default: "stable",
      here: "—",
      cloud: "cooldown of scaling in",
    }),
    metrics: unused(
      z.array(metric, { error: "must be a list of type and value" }),
      "Older targets of scaling",
      "ignored: Tandem scales by calls in work and waiting; set config_overrides.traffic.concurrency",
    ),
  },
  { error: "must be a mapping" },
);

const scaling = z.strictObject(
  {
    min_replicas: field(whole(0), {
      about: "Replicas that are always there; 0 scales to zero",
      default: "1",
      here: "—",
      cloud: "provisioned concurrency; least size of the container service",
    }),
    max_replicas: field(whole(1), {
      about: "Most replicas",
      default: "min_replicas, or 1",
      here: "—",
      cloud: "reserved concurrency; greatest size of the container service",
    }),
    policy: field(scalingPolicy, { about: "How fast it scales", here: "—", cloud: "used" }),
  },
  { error: "must be a mapping with min_replicas and max_replicas" },
);

const service = z.strictObject(
  {
    instance_type: field(instanceType(), {
      about: "The machine",
      default: "by resources",
      here: "—",
      cloud: "memory of a function, or an EC2 type",
    }),
    scaling: field(scaling, { about: "How many replicas", here: "—", cloud: "used" }),
    envs: field(variables, { about: "Variables of this service; they win", here: "used", cloud: "environment" }),
    deployment_strategy: field(words(STRATEGIES), {
      about: "How a new version takes over",
      default: "Recreate",
      here: "—",
      cloud: "healthy percentages and circuit breaker of a container; alias shifting of a function",
    }),
    cold_start_timeout: field(wholeSeconds(1), {
      about: "Seconds that a call waits for the first replica",
      default: "the call's timeout",
      here: "—",
      cloud: "longest wait for a replica",
    }),
    extras: unused(anyMapping(), "Kubernetes details", "ignored: there is no Kubernetes on this road"),
    config_overrides: field(overrides, { about: "Replaces arguments of service()", here: "used", cloud: "used" }),
    aws: field(serviceOnAws, { about: "What BentoCloud has no word for; ours", here: "—", cloud: "used" }),
  },
  { error: "must be a mapping" },
);

/** What the file says of each service. One that it gives nothing keeps its defaults. */
const services = z.record(z.string(), service.prefault({}), { error: "must be a mapping of service names" });

const NOT_A_TAG = {
  error: "names a stored bento, and Tandem deploys from a folder",
  params: { hint: "write the folder, as in bento: ." },
};
const bento = text().refine((path) => !/^[\w.-]+:[\w.-]+$/.test(path), NOT_A_TAG);

const version = z.strictObject(
  {
    bento: field(bento, {
      about: "Folder of the version's project, below the main one's; a tag is refused",
      default: "the main version's",
      here: "—",
      cloud: "the version's source",
    }),
    weight: field(between(0, 100), {
      about: "Percent of the calls; the rest goes to main",
      default: "0",
      here: "—",
      cloud: "share of the split",
    }),
    envs: field(variables, { about: "Beside the main version's", here: "—", cloud: "environment" }),
    secrets: field(secrets, { about: "Beside the main version's", here: "—", cloud: "secrets in the environment" }),
    services: field(services, {
      about: "What is not as the main version has it, by service",
      default: "the main version's",
      here: "—",
      cloud: "services of the version's own",
    }),
  },
  { error: "must be a mapping with bento and weight" },
);
const canary = z.strictObject(
  {
    route_type: required(words(["random", "header", "query"]), {
      about: "What picks the version",
      here: "—",
      cloud: "how the entry's function splits calls",
    }),
    route_by: field(text(), {
      about: "The header or query parameter whose value picks it: the same value, the same version",
      here: "—",
      cloud: "what is hashed",
    }),
    versions: required(z.record(z.string(), version, { error: "must be a mapping of versions" }), {
      about: "Versions beside the main one, at most 4",
      here: "—",
      cloud: "deployed beside it",
    }),
  },
  { error: "must be a mapping with route_type and versions" },
);

const accessAuthorization = z
  // A text that says true is BentoML's; "nope", which it takes for true as well, is refused.
  .union(
    [
      z.boolean(),
      z.enum(["none", "bearer", "iam"]),
      z.stringbool({ truthy: ["yes", "on", "true"], falsy: ["no", "off", "false"] }),
    ],
    { error: "must be true or bearer, false or none, or iam" },
  )
  .transform((value) => (typeof value === "string" ? value : value ? ("bearer" as const) : ("none" as const)));

/** config-file.yaml, as BentoCloud has it, and `aws`. */
export const configFile = z.strictObject(
  {
    name: field(
      form(
        /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/,
        "must be at most 63 small letters, digits and hyphens, a letter first and no hyphen last",
      ),
      { about: "Name of the deployment", default: "the project's", here: "—", cloud: "names what is deployed" },
    ),
    bento: field(bento, {
      about: "Folder of the project; a tag is refused",
      default: "the current folder",
      here: "—",
      cloud: "the source",
    }),
    cluster: field(text(), {
      about: "AWS region; another word is warned about",
      default: "AWS's own settings",
      here: "—",
      cloud: "region",
    }),
    access_authorization: field(accessAuthorization, {
      about: "Who may call the entry: true or bearer, false or none, or iam",
      default: "false",
      here: "used (not iam)",
      cloud: "bearer token or IAM at the entry",
      editor: { enum: [true, false, "none", "bearer", "iam"], anyOf: undefined },
    }),
    envs: field(variables, { about: "Variables of every service", here: "used", cloud: "environment" }),
    labels: field(labels, { about: "Labels of the deployment", here: "—", cloud: "tags" }),
    secrets: field(secrets, {
      about: "Stored secrets; `hf-token` reaches services as `HF_TOKEN`",
      here: "—, set the variables yourself",
      cloud: "secrets in the environment",
    }),
    services: field(services, {
      about: "What is particular to a service, by its name",
      default: "defaults for each",
      here: "used",
      cloud: "used",
    }),
    canary: field(canary, {
      about: "Versions side by side, each with a share of the calls; one that fails loses it",
      here: "—, main alone",
      cloud: "functions beside the entry's",
    }),
    aws: field(deploymentOnAws, { about: "What BentoCloud has no word for; ours", here: "—", cloud: "used" }),
    dev: field(
      z.literal(false, { error: "must be false or left out: codespaces are BentoCloud's, and tandem serve is ours" }),
      {
        about: "true is refused: a codespace of BentoCloud's",
        default: "false",
        here: "—",
        cloud: "—",
      },
    ),
    description: field(z.string({ error: "must be a text" }), {
      about: "For people; not in BentoML's schema, but in its documents",
      here: "—",
      cloud: "description of what is deployed",
    }),
  },
  { error: "must be a mapping, such as services: with what follows it indented" },
);

/** What a config file says, its quantities as numbers: cores, bytes, seconds. */
export type ConfigFile = z.output<typeof configFile>;
export type ServiceConfig = z.output<typeof service>;
export type Scaling = z.output<typeof scaling>;
export type ScalingPolicy = z.output<typeof scalingPolicy>;
export type DeploymentStrategy = (typeof STRATEGIES)[number];
export type Canary = z.output<typeof canary>;
export type DeploymentOnAws = z.output<typeof deploymentOnAws>;
export type ServiceOnAws = z.output<typeof serviceOnAws>;
export type ConfigOverrides = z.output<typeof overrides>;
