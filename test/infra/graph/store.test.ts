import { describe, expect, it } from "vitest";
import { createStore } from "#infra/resources/store.ts";
import { aPlan } from "../a-plan.ts";
import { resourceOf } from "../graph.ts";
import { graphSummary } from "../graph-summary.ts";
import { synthesize } from "../synth.ts";
import { anEntry } from "./container-plans.ts";

describe("the store", () => {
  it("is a private, encrypted bucket that is asked over TLS only, and whose objects expire", async () => {
    const graph = await synthesize(() => createStore(aPlan({ store: { retentionDays: 3 }, services: [anEntry()] })));
    expect(graph.error).toBeUndefined();
    expect(graphSummary(graph)).toMatchInlineSnapshot(`
      "s3.Bucket StoreBucket: forceDestroy
      s3.BucketLifecycleConfiguration StoreLifecycle:
        {expiration: {days: 3}, filter: {prefix: Entry/}}
        {abortIncompleteMultipartUpload: {daysAfterInitiation: 1}}
      s3.BucketOwnershipControls StoreOwnership: BucketOwnerEnforced
      s3.BucketPolicy StorePolicy: not s3:* by * if {Bool: {aws:SecureTransport: false}} on StoreBucket StoreBucket/*
      s3.BucketPublicAccessBlock StorePublicAccessBlock: blockPublicAcls; blockPublicPolicy; ignorePublicAcls; restrictPublicBuckets
      s3.BucketServerSideEncryptionConfiguration StoreEncryption: {applyServerSideEncryptionByDefault: {sseAlgorithm: AES256}}"
    `);
    expect(graph.outputs.name).toBe("tandem-test-storebucket-bdvfbzta");
  });

  it("outlives the deployment in production, private and encrypted as it is; elsewhere all of it goes", async () => {
    const retainedAt = async (stage: string, removal: "retain" | "remove") => {
      const graph = await synthesize(() => createStore(aPlan({ removal })), { stage });
      expect(resourceOf(graph, "aws:s3/bucket:Bucket").inputs.forceDestroy).toBe(removal === "remove");
      return graph.resources.flatMap(({ name, options }) => (options.retainOnDelete ? name : [])).sort();
    };
    expect(await retainedAt("production", "retain")).toEqual([
      "StoreBucket",
      "StoreEncryption",
      "StoreOwnership",
      "StorePolicy",
      "StorePublicAccessBlock",
    ]);
    expect(await retainedAt("test", "remove")).toEqual([]);
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
    const graph = await synthesize(() => createStore(aPlan({ entry: { ...entry, cors } })));
    expect(resourceOf(graph, "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration").inputs.corsRules).toMatchObject([
      { allowedOrigins: ["https://gallery.example"], allowedMethods: ["GET", "PUT"] },
    ]);
  });
});
