import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import * as z from "zod";
import type { AccessAuthorization } from "../http/access-options.ts";

/**
 * What one machine uses of config-file.yaml: who may call the entry, environment variables and `config_overrides` of
 * traffic and workers.
 * Instance types, scaling and strategies mean something in the cloud only and are left alone here.
 */
export interface ServeConfig {
  accessAuthorization?: AccessAuthorization;
  envs?: Record<string, string>;
  services?: Record<
    string,
    {
      envs: Record<string, string>;
      overrides: { timeout?: number; max_concurrency?: number; concurrency?: number; workers?: number };
      /** Whether other services call it through its queue. */
      externalQueue: boolean;
    }
  >;
}

const envs = z
  .array(z.looseObject({ name: z.string().min(1), value: z.coerce.string() }))
  .default([])
  .transform((list) => Object.fromEntries(list.map(({ name, value }) => [name, value])));

/** A number of processes, `cpu_count`, or BentoML's older list with one item a worker. */
const workers = z
  .union([z.int().min(1), z.literal("cpu_count"), z.array(z.looseObject({})).min(1)])
  .transform((value) =>
    typeof value === "number" ? value : value === "cpu_count" ? navigator.hardwareConcurrency : value.length,
  );

/**
 * BentoML's boolean, YAML 1.1's words for it, or one of ours. What is none of them is refused: BentoML takes every other
 * text, "nope" among them, for true.
 */
const accessAuthorization = z
  .union(
    [
      z.enum(["none", "bearer", "iam"]),
      z.boolean(),
      z.stringbool({ truthy: ["yes", "on", "true"], falsy: ["no", "off", "false"] }),
    ],
    {
      error: "must be true or bearer, false or none, or iam",
    },
  )
  .transform((value) => (typeof value === "string" ? value : value ? ("bearer" as const) : ("none" as const)));

const schema = z.looseObject({
  access_authorization: accessAuthorization.default("none"),
  envs,
  services: z
    .record(
      z.string(),
      z.looseObject({
        envs,
        config_overrides: z
          .looseObject({
            traffic: z
              .looseObject({
                timeout: z.number().positive().optional(),
                max_concurrency: z.int().min(1).optional(),
                concurrency: z.int().min(1).optional(),
                external_queue: z.boolean().optional(),
              })
              .default({}),
            workers: workers.optional(),
          })
          .default({ traffic: {} }),
      }),
    )
    .default({}),
});

/** @throws Error naming the file and every fault in the fields that are used here. */
export async function readServeConfig(path: string): Promise<ServeConfig> {
  const parsed = schema.safeParse(parse(await readFile(path, "utf8")) ?? {});
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  const services = Object.entries(parsed.data.services).map(([name, { envs, config_overrides }]) => {
    const { timeout, max_concurrency, concurrency, external_queue: externalQueue = false } = config_overrides.traffic;
    const overrides = {
      ...(timeout !== undefined && { timeout }),
      ...(max_concurrency !== undefined && { max_concurrency }),
      ...(concurrency !== undefined && { concurrency }),
      ...(config_overrides.workers !== undefined && { workers: config_overrides.workers }),
    };
    return [name, { envs, overrides, externalQueue }] as const;
  });
  return {
    accessAuthorization: parsed.data.access_authorization,
    envs: parsed.data.envs,
    services: Object.fromEntries(services),
  };
}
