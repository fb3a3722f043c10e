import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";

/** What SST wants to know of a stage before anything is planned, and to remove one. */
export interface App {
  /** Name of the deployment: SST keeps a state for each name and stage. */
  readonly name: string;
  /** AWS region; undefined: the one that SST finds, in `AWS_REGION` or the profile. */
  readonly region: string | undefined;
  readonly production: boolean;
  /** On everything that takes tags. */
  readonly tags: Readonly<Record<string, string>>;
}

/**
 * Says what a project is deployed as: `TANDEM_NAME`, or config-file.yaml's `name`, or bentofile.yaml's, or the entry's.
 * Faults of the two files are not its business: SST hides what is thrown while it asks this, and the plan tells of them.
 * @param root the project's folder.
 * @param env `TANDEM_CONFIG` names another config file, from the project's folder; `TANDEM_REGION` the region.
 */
export function appOf(root: string, stage: string, env: NodeJS.ProcessEnv = process.env): App {
  const bentofile = read(join(root, "bentofile.yaml"));
  const name =
    env.TANDEM_NAME ||
    read(join(root, env.TANDEM_CONFIG || "config-file.yaml")).name ||
    bentofile.name ||
    bentofile.service?.split(":").at(-1) ||
    "tandem";
  const plain = name.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^[^a-zA-Z]+/, "");
  return {
    name: plain,
    region: env.TANDEM_REGION || undefined,
    production: stage === "production",
    tags: { "tandem:deployment": plain, "tandem:stage": stage },
  };
}

function read(file: string): { name?: string; service?: string } {
  if (!existsSync(file)) return {};
  const document = parseDocument(readFileSync(file, "utf8"), { logLevel: "silent" });
  const value: unknown = document.errors.length > 0 ? undefined : document.toJS();
  const { name, service } = Object(value) as Record<string, unknown>;
  return { ...(typeof name === "string" && { name }), ...(typeof service === "string" && { service }) };
}
