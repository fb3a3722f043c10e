/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import type { Deployment } from "./deployed.ts";

/**
 * The bucket that results, claim checks and uploads are in: private, encrypted, asked over TLS only. What services put there
 * expires, and what is left of broken uploads goes after a day; the deployment's own record does not. SST names it, with a
 * random end: a bucket's name is taken for the whole world, and by one that was retained. Pages of the origins that may call
 * the entry may put and get what a signed URL names.
 *
 * Where data outlives the deployment, the bucket stays as it is: with what it holds, private and encrypted. What expires it
 * goes.
 */
export function createStore({
  store: { retentionDays },
  services,
  entry: { cors },
  removal,
}: DeploymentPlan): Deployment["store"] {
  const retainOnDelete = removal === "retain";
  const retained = (_: object, opts: $util.CustomResourceOptions): undefined => {
    opts.retainOnDelete = retainOnDelete;
  };
  const store = new sst.aws.Bucket("Store", {
    enforceHttps: true,
    cors: cors ? { allowOrigins: [...cors.allowOrigins], allowMethods: ["GET", "PUT"], allowHeaders: ["*"] } : false,
    lifecycle: services.map(({ name }) => ({
      id: `expire-${name}`,
      prefix: `${name}/`,
      expiresIn: `${retentionDays} days`,
    })),
    transform: {
      bucket: (args, opts) => {
        args.forceDestroy = !retainOnDelete;
        retained(args, opts);
      },
      policy: retained,
      publicAccessBlock: retained,
      lifecycle: (args) => {
        args.rules = $output(args.rules).apply((rules = []) => [
          ...rules,
          { id: "broken-uploads", status: "Enabled", abortIncompleteMultipartUpload: { daysAfterInitiation: 1 } },
        ]);
      },
    },
  });
  new aws.s3.BucketServerSideEncryptionConfiguration(
    "StoreEncryption",
    { bucket: store.name, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
    { retainOnDelete },
  );
  new aws.s3.BucketOwnershipControls(
    "StoreOwnership",
    { bucket: store.name, rule: { objectOwnership: "BucketOwnerEnforced" } },
    { retainOnDelete },
  );
  return { name: store.name, arn: store.arn };
}
