/// <reference path="../../.sst/platform/config.d.ts" />
import { readFileSync } from "node:fs";
import { recordName, STORED_PLAN, STORED_SOURCE } from "../deployments/record-names.ts";
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import type { Deployment } from "./deployed.ts";

/**
 * What a deployment leaves to be found by: a parameter with its URL and store, and in the store the plan and what it was made
 * from (the file that `TANDEM_SOURCE` names, which `tandem deploy` writes).
 */
export function createRecord(plan: DeploymentPlan, store: Deployment["store"], url: $util.Input<string>): void {
  const { name, stage, region, entry, description } = plan;
  const object = (resource: string, key: string, content: string): void => {
    new aws.s3.BucketObjectv2(resource, { bucket: store.name, key, content, contentType: "application/json" });
  };
  object("StoredPlan", STORED_PLAN, JSON.stringify(plan));
  const source = process.env.TANDEM_SOURCE;
  if (source) object("StoredSource", STORED_SOURCE, readFileSync(source, "utf8"));
  new aws.ssm.Parameter("Record", {
    name: recordName(name, stage),
    description: description || `Tandem deployment ${name}, stage ${stage}`,
    type: "String",
    value: $jsonStringify({ version: 1, name, stage, region, entry: entry.service, url, store: store.name }),
  });
}
