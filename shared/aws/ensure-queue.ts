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
    const attributes = {
      VisibilityTimeout: String(visibilityTimeoutSeconds),
      MessageRetentionPeriod: String(retentionSeconds),
      RedrivePolicy: deadLetter
        ? JSON.stringify({
            deadLetterTargetArn: await arnOf(client, deadLetter.url),
            maxReceiveCount: deadLetter.maxReceiveCount,
          })
        : "",
    };
    const url = await ask((abortSignal) => existing(client, name, abortSignal));
    if (url === undefined) {
      const { RedrivePolicy, ...others } = attributes;
      const Attributes = RedrivePolicy ? attributes : others;
      const created = await ask((abortSignal) =>
        client.send(new CreateQueueCommand({ QueueName: name, Attributes }), { abortSignal }),
      );
      return created.QueueUrl!;
    }
    await ask((abortSignal) =>
      client.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: attributes }), { abortSignal }),
    );
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

async function arnOf(client: SQSClient, url: string): Promise<string> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ["QueueArn"] });
  const answer = await awsRequest(`queue ${url}`, (abortSignal) => client.send(command, { abortSignal }));
  return answer.Attributes!.QueueArn!;
}
