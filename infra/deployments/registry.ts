import {
  GetParameterCommand,
  GetParametersByPathCommand,
  ParameterNotFound,
  type SSMClient,
} from "@aws-sdk/client-ssm";
import * as z from "zod";
import { RECORDS, recordName } from "./record-names.ts";

/** What a deployment leaves in the account's SSM parameters, so that it can be found without SST's state. */
const record = z.object({
  version: z.literal(1),
  name: z.string(),
  stage: z.string(),
  region: z.string(),
  /** Name of the entry service. */
  entry: z.string(),
  /** The entry's function URL. */
  url: z.string(),
  /** Bucket of its store, which has the plan and the config file as well. */
  store: z.string(),
});

export type DeploymentRecord = z.infer<typeof record>;
/** A deployment that is there, and when its record last changed. */
export type KnownDeployment = DeploymentRecord & { readonly changedAt: Date | undefined };

const DEADLINE_MS = 30_000;

/** Deployments of an account in one region. */
export class DeploymentRegistry {
  readonly #client: SSMClient;

  constructor(client: SSMClient) {
    this.#client = client;
  }

  /** @throws Error of the SDK where the account cannot be asked. */
  async list(): Promise<KnownDeployment[]> {
    const found: KnownDeployment[] = [];
    let token: string | undefined;
    do {
      const command = new GetParametersByPathCommand({
        Path: RECORDS,
        Recursive: true,
        ...(token !== undefined && { NextToken: token }),
      });
      const page = await this.#client.send(command, { abortSignal: AbortSignal.timeout(DEADLINE_MS) });
      for (const { Value, LastModifiedDate } of page.Parameters ?? [])
        found.push({ ...read(Value), changedAt: LastModifiedDate });
      token = page.NextToken;
    } while (token !== undefined);
    return found.sort((one, other) => one.name.localeCompare(other.name) || one.stage.localeCompare(other.stage));
  }

  /** Undefined where there is no such deployment. */
  async get(name: string, stage: string): Promise<KnownDeployment | undefined> {
    try {
      const command = new GetParameterCommand({ Name: recordName(name, stage) });
      const { Parameter } = await this.#client.send(command, { abortSignal: AbortSignal.timeout(DEADLINE_MS) });
      return { ...read(Parameter?.Value), changedAt: Parameter?.LastModifiedDate };
    } catch (error) {
      if (error instanceof ParameterNotFound) return undefined;
      throw error;
    }
  }
}

function read(text: string | undefined): DeploymentRecord {
  try {
    return record.parse(JSON.parse(text ?? ""));
  } catch (cause) {
    throw new Error(`a parameter below ${RECORDS} is no deployment's record`, { cause });
  }
}
