import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";

/** As the plan tells a region from a cluster of BentoCloud's. */
const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

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
 * @param env `TANDEM_CONFIG` names another config file, from the project's folder; `TANDEM_REGION` the region, and
 * config-file.yaml's `cluster` does where it is one.
 */
export function appOf(root: string, stage: string, env: NodeJS.ProcessEnv = process.env): App {
  const bentofile = read(join(root, "bentofile.yaml"));
  const config = read(join(root, env.TANDEM_CONFIG || "config-file.yaml"));
  const entry = text(bentofile.service)?.split(":").at(-1);
  const name = env.TANDEM_NAME || text(config.name) || text(bentofile.name) || entry || "tandem";
  const plain = name.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^[^a-zA-Z]+/, "");
  const cluster = text(config.cluster);
  return {
    name: plain,
    region: env.TANDEM_REGION || (cluster && REGION.test(cluster) ? cluster : undefined),
    production: stage === "production",
    tags: {
      ...labelsOf(bentofile.labels),
      ...labelsOf(config.labels),
      "tandem:deployment": plain,
      "tandem:stage": stage,
    },
  };
}

function read(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {};
  const document = parseDocument(readFileSync(file, "utf8"), { logLevel: "silent" });
  return document.errors.length > 0 ? {} : Object(document.toJS());
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** bentofile.yaml has a mapping, config-file.yaml a list of key and value. */
function labelsOf(labels: unknown): Record<string, string> {
  const pairs = Array.isArray(labels)
    ? labels.map((label) => [Object(label).key, Object(label).value])
    : Object.entries(Object(labels));
  return Object.fromEntries(pairs.filter((pair) => pair.every((part) => typeof part === "string")));
}
