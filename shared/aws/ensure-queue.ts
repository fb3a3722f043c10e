import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { awsRequest, errorName } from "./request.ts";

/** What a queue is to be. */
export interface QueueConfig {
  /** Seconds that a received message stays hidden. */
  visibilityTimeoutSeconds: number;
  /** Where messages go after so many receptions. */
  deadLetter?: { url: string; maxReceiveCount: number };
  /** Seconds that a message is kept; 4 days unless given. */
  retentionSeconds?: number;
}

/**
 * Makes a queue, or makes an existing one what is asked.
 * @param options.client asks for it; otherwise one that the SDK configures from the environment.
 * @returns the queue's URL.
 * @throws ServiceError UNAVAILABLE where SQS cannot be reached, INTERNAL where it refuses.
 */
export async function ensureQueue(
  name: string,
  { visibilityTimeoutSeconds, deadLetter, retentionSeconds = 345_600 }: QueueConfig,
  options: { client?: SQSClient } = {},
): Promise<string> {
  const client = options.client ?? new SQSClient({});
  const ask = <T>(send: (signal: AbortSignal) => Promise<T>): Promise<T> => awsRequest(`queue ${name}`, send);
  try {
    const wanted: Record<string, string> = {
      VisibilityTimeout: String(visibilityTimeoutSeconds),
      MessageRetentionPeriod: String(retentionSeconds),
    };
    if (deadLetter) {
      const deadLetterTargetArn = (await attributesOf(client, deadLetter.url)).QueueArn;
      wanted.RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: deadLetter.maxReceiveCount });
    }
    const url = await ask((abortSignal) => existing(client, name, abortSignal));
    if (url === undefined) {
      const create = new CreateQueueCommand({ QueueName: name, Attributes: wanted });
      return (await ask((abortSignal) => client.send(create, { abortSignal }))).QueueUrl!;
    }
    const changed = changes(await attributesOf(client, url), wanted);
    if (Object.keys(changed).length > 0) {
      const set = new SetQueueAttributesCommand({ QueueUrl: url, Attributes: changed });
      await ask((abortSignal) => client.send(set, { abortSignal }));
    }
    return url;
  } finally {
    if (!options.client) client.destroy();
  }
}

async function existing(client: SQSClient, name: string, abortSignal: AbortSignal): Promise<string | undefined> {
  try {
    return (await client.send(new GetQueueUrlCommand({ QueueName: name }), { abortSignal })).QueueUrl;
  } catch (error) {
    if (/^(QueueDoesNotExist|NonExistentQueue)$/.test(errorName(error))) return undefined;
    throw error;
  }
}

async function attributesOf(client: SQSClient, url: string): Promise<Record<string, string>> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ["All"] });
  const answer = await awsRequest(`queue ${url}`, (abortSignal) => client.send(command, { abortSignal }));
  return answer.Attributes ?? {};
}

/** What to set so that a queue has what is wanted; an empty policy takes away the one there is. */
function changes(found: Record<string, string>, wanted: Record<string, string>): Record<string, string> {
  const changed = Object.entries(wanted).filter(([name, value]) => canonical(found[name]) !== canonical(value));
  if (found.RedrivePolicy && !wanted.RedrivePolicy) changed.push(["RedrivePolicy", ""]);
  return Object.fromEntries(changed);
}

/** A value to compare by: servers write a policy's members in any order, and its number as a text or not. */
function canonical(value: string | undefined): string | undefined {
  if (!value?.startsWith("{")) return value;
  const { deadLetterTargetArn, maxReceiveCount } = JSON.parse(value) as Record<string, unknown>;
  return `${deadLetterTargetArn} ${maxReceiveCount}`;
}
