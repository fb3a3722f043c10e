/// <reference path="../../.sst/platform/config.d.ts" />
import type { Permission } from "../plan/deployment-plan.ts";
import { type Deployment, made } from "./deployed.ts";

/** A statement of a policy, as `permissions` of SST's components and `aws.iam.getPolicyDocument` take it. */
export interface Statement {
  effect?: "allow" | "deny";
  actions: string[];
  resources: $util.Input<string>[];
  conditions?: { test: string; variable: string; values: $util.Input<string>[] }[];
}

/**
 * What a service may do, with the names of what has been made.
 * @throws Error for something that was not made yet: services are made after those that they call.
 */
export function statementsOf(permissions: readonly Permission[], deployment: Deployment): Statement[] {
  return permissions.flatMap((permission) => statementOf(permission, deployment));
}

/** The document of a policy with these statements. */
export function policyOf(statements: aws.iam.GetPolicyDocumentOutputArgs["statements"]): $util.Output<string> {
  return aws.iam.getPolicyDocumentOutput({ statements }).json;
}

function statementOf({ actions, on }: Permission, deployment: Deployment): Statement | Statement[] {
  const allow = (...resources: $util.Input<string>[]): Statement => ({ actions: [...actions], resources });
  switch (on.kind) {
    case "queue":
      return allow(queuesOf(deployment, on.service).queue.arn);
    case "priority-queue":
      return allow(queuesOf(deployment, on.service).priority.arn);
    case "dead-letter-queue":
      return allow(queuesOf(deployment, on.service).deadLetters.arn);
    case "function":
      return allow(made(deployment.functions.get(on.service), `function of ${on.service}`).aliasArn);
    case "version":
      // In `sst dev` there are none.
      return $dev ? [] : allow(made(deployment.versions.get(on.label), `version ${on.label}`).entry.aliasArn);
    case "store":
      return allow($interpolate`${deployment.store.arn}/${on.service}/${on.prefix}*`);
    case "store-list":
      return { ...allow(deployment.store.arn), conditions: [belowPrefix(`${on.service}/${on.prefix}`)] };
    case "s3":
      return weightsStatements(actions, on.url, deployment);
    case "task-protection":
      return allow(tasksArn(made(deployment.clusters.get(on.service), `cluster of ${on.service}`)));
    case "any":
      return allow("*");
  }
}

/** Buckets are listed, objects are read: below the same URL, these are different resources. */
function weightsStatements(actions: readonly string[], url: string, deployment: Deployment): Statement[] {
  const { host: bucket, pathname } = new URL(url);
  const prefix = pathname.slice(1);
  // The partition, `aws` or `aws-cn`, is that of the account's own bucket.
  const bucketArn = $output(deployment.store.arn).apply((arn) => `arn:${arn.split(":")[1]}:s3:::${bucket}`);
  const lists = actions.filter((action) => action.startsWith("s3:ListBucket"));
  const others = actions.filter((action) => !lists.includes(action));
  return [
    ...(others.length > 0 ? [{ actions: others, resources: [$interpolate`${bucketArn}/${prefix}*`] }] : []),
    ...(lists.length > 0 ? [{ actions: lists, resources: [bucketArn], conditions: [belowPrefix(prefix)] }] : []),
  ];
}

function belowPrefix(prefix: string) {
  return { test: "StringLikeIfExists", variable: "s3:prefix", values: [`${prefix}*`] };
}

/** A task's ARN has its cluster's name in it, and not its service's. */
function tasksArn(cluster: $util.Input<string>): $util.Output<string> {
  return $output(cluster).apply((arn) => `${arn.replace(":cluster/", ":task/")}/*`);
}

function queuesOf(deployment: Deployment, service: string) {
  return made(deployment.queues.get(service), `queues of ${service}`);
}
