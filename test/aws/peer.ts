import { S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";

/** A server that speaks AWS's protocols, started for a test. */
export interface AwsPeer {
  readonly endpoint: string;
  stop(): Promise<void>;
}

const credentials = { accessKeyId: "test", secretAccessKey: "testtest" };

/** Environment with which the SDK finds a peer, and nothing of this machine's. */
export function awsEnv(endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  };
}

/** A client of a peer's SQS. */
export function sqsClient(endpoint: string): SQSClient {
  return new SQSClient({ endpoint, region: "us-east-1", credentials });
}

/** A client of a peer's S3. */
export function s3Client(endpoint: string): S3Client {
  return new S3Client({ endpoint, region: "us-east-1", credentials, forcePathStyle: true });
}
