import type { VersionedName } from "../plan/names.ts";

/** On a service's resources; the deployment's own tags come on everything by the provider. */
export function serviceTags({ name, version }: VersionedName): Record<string, string> {
  return { "tandem:service": name, ...(version !== undefined && { "tandem:version": version }) };
}
