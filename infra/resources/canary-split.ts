/// <reference path="../../.sst/platform/config.d.ts" />
import { createHash } from "node:crypto";
import { type Deployment, made } from "./deployed.ts";

/** Characters of a fingerprint. */
const FINGERPRINT = 16;

/** How the entry's function splits its calls: nothing where it does not, as in `sst dev`, and in a version's own entry. */
export function splitEnvironment({ plan: { canary }, versions }: Deployment): Record<string, $util.Output<string>> {
  if (!canary || versions.size === 0) return {};
  const { route: routeType, routeBy } = canary;
  const split = canary.versions.map(({ label, weight }) => {
    const { entry, fingerprint } = made(versions.get(label), `version ${label}`);
    return { label, weight, functionName: entry.aliasArn, fingerprint };
  });
  return { TANDEM_CANARY: $jsonStringify({ routeType, ...(routeBy && { routeBy }), versions: split }) };
}

/** A text that is another one after each change of what was made. */
export function fingerprintOf({ revisions }: Pick<Deployment, "revisions">): $util.Output<string> {
  return $util
    .all([...revisions])
    .apply((all) => createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, FINGERPRINT));
}
