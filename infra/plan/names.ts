import { createHash } from "node:crypto";

/** Longest names that AWS takes, in characters. */
export const NAME_LIMITS = {
  function: 64,
  role: 64,
  queue: 80,
  /** ECS services, task definitions, clusters and capacity providers. */
  ecs: 255,
  /** Load balancers and target groups. */
  loadBalancer: 32,
  bucket: 63,
  autoScalingGroup: 255,
  alarm: 255,
} as const;

const HASH_LENGTH = 8;

/**
 * A name for AWS: its parts joined by `-`, in lower case, other characters than letters and digits as `-`, and a letter
 * first. One that is over `max` characters is cut and ends in a hash of all of it, so that different names stay different.
 */
export function physicalName(parts: readonly string[], max: number): string {
  const joined = parts.join("-");
  const plain = joined
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const name = /^[a-z]/.test(plain) ? plain : `t-${plain}`;
  if (name.length <= max) return name;
  const hash = createHash("sha256").update(joined).digest("hex").slice(0, HASH_LENGTH);
  // The role stands last and says most: half of what is kept is the end.
  const kept = max - HASH_LENGTH - 2;
  const end = name.slice(-Math.floor(kept / 3)).replace(/^-+/, "");
  const start = name.slice(0, kept - end.length).replace(/-+$/, "");
  return `${start}-${end}-${hash}`;
}

/** Names of one deployment's resources: `<deployment>-<stage>-<service>-<role>`. */
export type Namer = (kind: keyof typeof NAME_LIMITS, ...parts: string[]) => string;

export function namer(deployment: string, stage: string): Namer {
  return (kind, ...parts) => physicalName([deployment, stage, ...parts], NAME_LIMITS[kind]);
}

/**
 * Names of a canary version's resources, of the services that it has of its own: `<deployment>-<stage>-<service>-<label>-<role>`.
 * @param own says whether it has a service of its own.
 */
export function versionNamer(naming: Namer, label: string, own: (service: string) => boolean): Namer {
  return (kind, service = "", ...role) =>
    own(service) ? naming(kind, service, label, ...role) : naming(kind, service, ...role);
}

/** A service, and the label of the canary version that has it of its own. */
export interface VersionedName {
  readonly name: string;
  readonly version?: string | undefined;
}

/** What names of a service's resources begin with, after those of deployment and stage. */
export function nameParts({ name, version }: VersionedName): string[] {
  return version === undefined ? [name] : [name, version];
}

/** What SST calls a service's resources by, which knows letters and digits only: `ControlNet`, `ControlNetVersionNext`. */
export function logicalName({ name, version }: VersionedName): string {
  if (version === undefined) return name;
  const label = version.replace(/(^|-)([a-z0-9]?)/g, (_match, _hyphen, first: string) => first.toUpperCase());
  return `${name}Version${label}`;
}

/** A stage that cannot be used. */
export class StageError extends Error {
  override readonly name = "StageError";
}

/**
 * @returns the stage.
 * @throws StageError for one that SST does not take, or over 30 characters.
 */
export function checkStage(stage: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9-]{0,29}$/.test(stage))
    throw new StageError(`stage ${JSON.stringify(stage)} must be 1 to 30 letters, digits and hyphens`);
  return stage;
}
