/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";

/** A queue as others refer to it. */
export interface DeployedQueue {
  readonly name: $util.Input<string>;
  readonly url: $util.Input<string>;
  readonly arn: $util.Input<string>;
}

/** A service's two lanes and where what is given up goes. */
export interface DeployedQueues {
  readonly queue: DeployedQueue;
  readonly priority: DeployedQueue;
  readonly deadLetters: DeployedQueue;
}

/** What has been made so far, for what is made next: a service's resources are made after those of its dependencies. */
export interface Deployment {
  readonly plan: DeploymentPlan;
  readonly store: { readonly name: $util.Input<string>; readonly arn: $util.Input<string> };
  /** By service. */
  readonly queues: Map<string, DeployedQueues>;
  /** By service: what callers invoke, the alias `live`. */
  readonly functions: Map<string, { readonly aliasArn: $util.Input<string> }>;
  /** By service: URLs behind the private load balancer. */
  readonly urls: Map<string, $util.Input<string>>;
  /** By the plan's name of it: values of secrets. */
  readonly secrets: Map<string, $util.Input<string>>;
  readonly alarmTopic: $util.Input<string>;
  /** Where containers run; undefined without any. */
  readonly cluster: { readonly name: $util.Input<string>; readonly arn: $util.Input<string> } | undefined;
  /** Where functions of a plan's `inVpc` are. */
  readonly functionNetwork: FunctionNetwork | undefined;
}

/** Private subnets for functions, and the group that load balancers know them by. */
export interface FunctionNetwork {
  readonly subnetIds: $util.Input<$util.Input<string>[]>;
  readonly securityGroupIds: $util.Input<$util.Input<string>[]>;
}
