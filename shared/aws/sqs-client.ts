import { SQSClient } from "@aws-sdk/client-sqs";

/** Clients by their servers' origins. */
const shared = new Map<string, { client: SQSClient; users: number }>();

/** A client that others may use as well. */
export interface ClientLease {
  readonly client: SQSClient;
  /** Gives it back, once; the last to do so closes its connections. */
  release(): void;
}

/**
 * The process's one client, with its kept-alive connections, of a queue's server: the one that AWS_ENDPOINT_URL_SQS or
 * AWS_ENDPOINT_URL names, or else the queue's URL. AWS's own URLs say the region as well; otherwise, and for credentials,
 * the SDK looks where it always does.
 * @throws TypeError for a text that is no http URL.
 */
export function leaseClient(queueUrl: string): ClientLease {
  if (!/^https?:/.test(queueUrl) || !URL.canParse(queueUrl))
    throw new TypeError(`${JSON.stringify(queueUrl)} is no queue's URL`);
  const { origin, hostname } = new URL(queueUrl);
  const entry = shared.get(origin) ?? { client: newClient(origin, hostname), users: 0 };
  shared.set(origin, entry);
  entry.users++;
  return {
    client: entry.client,
    release: () => {
      if (--entry.users > 0) return;
      shared.delete(origin);
      entry.client.destroy();
    },
  };
}

function newClient(origin: string, hostname: string): SQSClient {
  const region = /(?:^|\.)sqs\.([a-z\d-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$/.exec(hostname)?.[1];
  const configured = process.env.AWS_ENDPOINT_URL_SQS ?? process.env.AWS_ENDPOINT_URL;
  return new SQSClient({
    ...(region && { region }),
    ...(configured ? { useQueueUrlAsEndpoint: false } : { endpoint: origin }),
  });
}

/** A client of the server at an endpoint, whatever host its queues' URLs name. */
export function sqsClientAt(endpoint: string): SQSClient {
  return new SQSClient({ endpoint, useQueueUrlAsEndpoint: false });
}
