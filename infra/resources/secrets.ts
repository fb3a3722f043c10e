/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";

/** Keys of callers, where access is `bearer`: one or more, commas between. */
const API_KEYS = { name: "TandemApiKeys", variable: "TANDEM_API_KEYS" } as const;

/**
 * The values of a plan's secrets, by the plan's names, and of the entry's keys where callers must have one. A value
 * travels as a Pulumi secret: encrypted in the state, never printed.
 * @throws VisibleError when the program runs, for a secret that the stage does not have: `sst secret set` gives it.
 */
export function createSecrets({ secrets, entry }: DeploymentPlan): Map<string, $util.Output<string>> {
  const values = new Map(secrets.map(({ name, sst: sstName }) => [name, new sst.Secret(sstName).value]));
  if (entry.access === "bearer") values.set(API_KEYS.name, new sst.Secret(API_KEYS.name).value.apply(someKey));
  return values;
}

/** Without a key the entry would ask for none. */
function someKey(keys: string): string {
  if (keys.trim() !== "") return keys;
  throw new Error(
    `access_authorization wants callers to have a key, and ${API_KEYS.name} is empty: ` +
      `npx sst secret set ${API_KEYS.name} $(openssl rand -hex 32)`,
  );
}

/** The variables in which a service gets its secrets; @param names are those of the plan. */
export function secretVariables(
  names: readonly string[],
  plan: DeploymentPlan,
  values: ReadonlyMap<string, $util.Input<string>>,
): Record<string, $util.Input<string>> {
  return Object.fromEntries(
    names.map((name) => {
      const variable = plan.secrets.find((secret) => secret.name === name)?.variable;
      const value = values.get(name);
      if (variable === undefined || value === undefined) throw new Error(`the plan has no secret ${name}`);
      return [variable, value];
    }),
  );
}

/** The variable in which the entry gets its callers' keys; none where it asks for none. */
export function keyVariables(values: ReadonlyMap<string, $util.Input<string>>): Record<string, $util.Input<string>> {
  const keys = values.get(API_KEYS.name);
  return keys === undefined ? {} : { [API_KEYS.variable]: keys };
}
