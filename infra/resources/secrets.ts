/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";

type Values = Map<string, $util.Input<string>>;

/**
 * The values of a plan's secrets, by the plan's names. A value travels as a Pulumi secret: encrypted in the state, never
 * printed.
 * @throws Error when the program runs, for a secret that the stage does not have, or that is empty: an entry without keys
 * would ask for none.
 */
export function createSecrets({ secrets }: DeploymentPlan): Values {
  return new Map(
    secrets.map(({ name, sst: id }) => [name, new sst.Secret(id).value.apply((value) => filled(id, value))]),
  );
}

function filled(id: string, value: string): string {
  if (value.trim() !== "") return value;
  throw new Error(`secret ${id} is empty: npx sst secret set ${id} <value>`);
}

/** The variables in which a service gets its secrets; @param names are those of the plan. */
export function secretVariables(
  names: readonly string[],
  plan: DeploymentPlan,
  values: Values,
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
