import { describe, expect, it, vi } from "vitest";
import { deploy } from "#infra/deploy.ts";
import { program } from "#infra/program.ts";
import { aPlan } from "../a-plan.ts";
import { graphSummary, resourceOf } from "../graph.ts";
import { synthesize } from "../synth.ts";

describe("the store", () => {
  it("is a private, encrypted bucket that is asked over TLS only, and whose objects expire", async () => {
    const graph = await synthesize(() => deploy(aPlan({ store: { retentionDays: 3 } })));
    expect(graph.error).toBeUndefined();
    expect(graphSummary(graph)).toMatchInlineSnapshot(`
      "s3.Bucket StoreBucket
          forceDestroy: true
      s3.BucketLifecycleConfiguration StoreLifecycle
          rules:
              { expiration: { days: 3 }, id: expire, status: Enabled }
              { abortIncompleteMultipartUpload: { daysAfterInitiation: 1 }, id: broken-uploads, status: Enabled }
      s3.BucketOwnershipControls StoreOwnership
          rule: { objectOwnership: BucketOwnerEnforced }
      s3.BucketPolicy StorePolicy
          policy:
              Deny s3:* on arn:aws:s3:::tandem-test-storebucket-bdvfbzta arn:aws:s3:::tandem-test-storebucket-bdvfbzta/* to * if { Bool: { aws:SecureTransport: false } }
      s3.BucketPublicAccessBlock StorePublicAccessBlock
          blockPublicAcls: true
          blockPublicPolicy: true
          ignorePublicAcls: true
          restrictPublicBuckets: true
      s3.BucketServerSideEncryptionConfiguration StoreEncryption
          rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: AES256 } }]"
    `);
    expect(graph.outputs.store).toBe("s3://tandem-test-storebucket-bdvfbzta");
  });

  it("is retained in production", async () => {
    const graph = await synthesize(() => deploy(aPlan()), { stage: "production" });
    expect(resourceOf(graph, "aws:s3/bucket:Bucket").options.retainOnDelete).toBe(true);
  });

  it("may be put to and read from pages of the origins that may call the entry", async () => {
    const cors = {
      allowOrigins: ["https://gallery.example"],
      allowMethods: ["POST"],
      allowHeaders: [],
      exposeHeaders: [],
      allowCredentials: false,
      maxAgeSeconds: 60,
    };
    const { entry } = aPlan();
    const graph = await synthesize(() => deploy(aPlan({ entry: { ...entry, cors } })));
    expect(resourceOf(graph, "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration").inputs.corsRules).toMatchObject([
      { allowedOrigins: ["https://gallery.example"], allowedMethods: ["GET", "PUT"] },
    ]);
  });
});

it("needs Node 24, and says so where it can be read: SST hides what its configuration throws earlier", async () => {
  vi.spyOn(process, "versions", "get").mockReturnValue({ ...process.versions, node: "20.20.2" });
  const { error } = await synthesize(program);
  vi.restoreAllMocks();
  expect(String(error)).toMatch(/Tandem needs Node 24, and this is v\S+: run "npx sst deploy" in the project/);
});
