/// <reference path="../../../.sst/platform/config.d.ts" />
/** Compiles only where the types of SST and of the AWS provider are there: each complaint below is expected. */
export function misspelt(): void {
  // @ts-expect-error SST knows units.
  new sst.aws.Queue("Jobs", { visibilityTimeout: "120 parsecs" });
  // @ts-expect-error The AWS provider knows fields.
  new aws.autoscaling.Group("Gpu", { minSize: 0, maxSize: 4, spotPercent: 50 });
  // @ts-expect-error And their types.
  new aws.ecs.Service("Worker", { desiredCount: "three" });
}
