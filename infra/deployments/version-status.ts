import { GetFunctionConfigurationCommand, type LambdaClient } from "@aws-sdk/client-lambda";
import * as z from "zod";
import { offKey, readSplit } from "#shared/lambda/canary-split.ts";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";

/** A canary version, and whether it gets its share of the calls. */
export interface VersionStatus {
  readonly label: string;
  /** Percent of the calls, where it is on. */
  readonly weight: number;
  /** `on`, `off` once its alarm has rung, or `unknown` where the entry's function cannot be asked. */
  readonly state: "on" | "off" | "unknown";
  /** When and why it was taken off. */
  readonly since?: string | undefined;
  readonly reason?: string | undefined;
}

/** What the rollback function leaves. */
const takenOff = z.object({ at: z.string(), reason: z.string() });
const DEADLINE_MS = 30_000;

/**
 * How the versions of a plan are: the entry's function knows their fingerprints, and the store which were taken off.
 * @param object the text of an object of the deployment's store; undefined where there is none.
 */
export async function versionStatuses(
  { canary, services }: DeploymentPlan,
  lambda: LambdaClient,
  object: (key: string) => Promise<string | undefined>,
): Promise<VersionStatus[]> {
  const entry = services.at(-1);
  if (!canary || !entry || !("function" in entry) || !entry.function) return [];
  const command = new GetFunctionConfigurationCommand({ FunctionName: entry.function.physicalName });
  const asked = lambda.send(command, { abortSignal: AbortSignal.timeout(DEADLINE_MS) });
  const { Environment } = await asked.catch((error: Error) => {
    if (error.name === "ResourceNotFoundException") return { Environment: undefined };
    throw error;
  });
  const { TANDEM_CANARY } = Environment?.Variables ?? {};
  const known = TANDEM_CANARY === undefined ? [] : readSplit(TANDEM_CANARY).versions;
  return Promise.all(
    canary.versions.map(async ({ label, weight }): Promise<VersionStatus> => {
      const version = known.find((one) => one.label === label);
      if (!version) return { label, weight, state: "unknown" };
      const text = await object(offKey(version));
      if (text === undefined) return { label, weight, state: "on" };
      const why = takenOff.safeParse(JSON.parse(text)).data;
      return { label, weight, state: "off", since: why?.at, reason: why?.reason };
    }),
  );
}
