import * as z from "zod";
import type { QueueSettings } from "../delivery/message-queue.ts";
import type { Traffic } from "../service/contract.ts";
import { overridesSchema } from "../service/overrides.ts";
import { type Locations, locationsFromEnvironment, type SqsLocation } from "../transport/location.ts";
import { runFolderOf } from "./health-server.ts";

/** What a deployment tells a container: docs/container.md has the variables. */
export interface ContainerSettings {
  readonly service: string;
  /** GPUs of each worker process; undefined: as many workers as the contract has, without GPUs. */
  readonly workers: readonly { readonly gpus: readonly number[] }[] | undefined;
  /** Instead of the contract's. */
  readonly traffic: Traffic;
  readonly locations: Locations;
  /** The service's own queue, where it has one. */
  readonly queue: SqsLocation | undefined;
  /** What that queue was made with; the queue is asked where undefined. */
  readonly queueSettings: QueueSettings | undefined;
  /** Where weights come from, and the folder that they are kept in; undefined where they are there already. */
  readonly model: { readonly url: string; readonly folder: string } | undefined;
  /** Where HTTP is served; undefined: on a socket in the run folder, since all calls come through the queue. */
  readonly port: number | undefined;
  readonly graceSeconds: number;
  /** The container's own: its sockets. */
  readonly runFolder: string;
}

const DEFAULT_PORT = 3000;
/** ECS waits 120 seconds at most before it kills a task. */
const DEFAULT_GRACE_SECONDS = 110;

/** A variable that holds JSON. */
function json<S extends z.core.$ZodType>(schema: S, example: string) {
  return z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue({ code: "custom", message: `must be JSON such as ${example}` });
        return z.NEVER;
      }
    })
    .pipe(schema);
}

const workers = z.array(z.strictObject({ gpus: z.array(z.int().min(0)).default([]) })).min(1);

const environmentSchema = z.object({
  TANDEM_SERVICE: z.string({ error: "must name the service that this container runs" }),
  TANDEM_WORKERS: json(workers, '[{"gpus":[0]},{"gpus":[1]}]').optional(),
  TANDEM_OVERRIDES: json(overridesSchema(), '{"timeout":600,"maxConcurrency":20}').default({}),
  TANDEM_MODEL_DIR: z.string().optional(),
  TANDEM_MODEL_URL: z
    .string()
    .regex(/^(s3:\/\/|https:\/\/|file:\/|http:\/\/(127\.0\.0\.1|localhost)[:/])/, {
      error: "must be s3://bucket/prefix/, https://host/path/ or file:///folder/",
    })
    .optional(),
  PORT: z.coerce.number("must be a port").int("must be a port").min(0).max(65_535).optional(),
  TANDEM_GRACE_SECONDS: z.coerce
    .number("must be a number of seconds")
    .min(0, "must be a number of seconds")
    .default(DEFAULT_GRACE_SECONDS),
});

/**
 * Reads what a deployment tells a container. A variable that is set to nothing counts as not set.
 * @throws TypeError with every fault there is, each with its variable.
 */
export function readContainerSettings(env: NodeJS.ProcessEnv = process.env): ContainerSettings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = environmentSchema.safeParse(given);
  const faults = (parsed.error?.issues ?? []).map(({ path, message }) => {
    const [variable, ...rest] = path.map(String);
    return `${variable}: ${rest.length > 0 ? `${rest.join(".")}: ` : ""}${message}`;
  });
  let locations: Locations = {};
  try {
    locations = locationsFromEnvironment(env.TANDEM_SERVICES);
  } catch (error) {
    faults.push((error as Error).message);
  }
  if (given.TANDEM_MODEL_URL && !given.TANDEM_MODEL_DIR)
    faults.push("TANDEM_MODEL_DIR: must name the folder in which the weights of TANDEM_MODEL_URL are kept");
  if (!parsed.success || faults.length > 0)
    throw new TypeError(`the container's environment cannot be used: ${faults.join("; ")}`);
  const { data } = parsed;
  const { visibilityTimeout, maxReceiveCount, ...traffic } = data.TANDEM_OVERRIDES;
  const own = locations[data.TANDEM_SERVICE];
  const queue = own?.transport === "sqs" ? own : undefined;
  return {
    service: data.TANDEM_SERVICE,
    workers: data.TANDEM_WORKERS,
    traffic: Object.fromEntries(Object.entries(traffic).filter(([, value]) => value !== undefined)),
    locations,
    queue,
    queueSettings: visibilityTimeout && maxReceiveCount ? { visibilityTimeout, maxReceiveCount } : undefined,
    model: data.TANDEM_MODEL_URL ? { url: data.TANDEM_MODEL_URL, folder: data.TANDEM_MODEL_DIR! } : undefined,
    port: data.PORT || (queue ? undefined : (data.PORT ?? DEFAULT_PORT)),
    graceSeconds: data.TANDEM_GRACE_SECONDS,
    runFolder: runFolderOf(env),
  };
}
