import { CreateBucketCommand, HeadBucketCommand, type S3Client } from "@aws-sdk/client-s3";
import { awsRequest, errorName } from "./request.ts";
import { newS3Client } from "./s3-store.ts";

/**
 * Makes a bucket unless it is there, in the client's region.
 * @param options.client asks for it; otherwise one that the SDK configures from the environment.
 * @throws ServiceError UNAVAILABLE where S3 cannot be reached, INTERNAL where it refuses: the name may be somebody else's.
 */
export async function ensureBucket(bucket: string, options: { client?: S3Client } = {}): Promise<void> {
  const client = options.client ?? newS3Client();
  try {
    const region = await client.config.region();
    await awsRequest(`bucket ${bucket}`, async (abortSignal) => {
      const found = await client
        .send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal })
        .catch(refusal(/^(NotFound|NoSuchBucket)$/));
      if (found) return;
      // us-east-1 is the one region that is not to be named.
      const where =
        region === "us-east-1" ? {} : { CreateBucketConfiguration: { LocationConstraint: region as never } };
      await client
        .send(new CreateBucketCommand({ Bucket: bucket, ...where }), { abortSignal })
        .catch(refusal(/^BucketAlreadyOwnedByYou$/));
    });
  } finally {
    if (!options.client) client.destroy();
  }
}

/** Takes refusals of certain names for an answer. */
function refusal(names: RegExp): (error: unknown) => undefined {
  return (error) => {
    if (!names.test(errorName(error))) throw error;
  };
}
