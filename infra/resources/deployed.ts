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

/** A function as callers, its URL and its queues refer to it: by its alias, which moves from version to version. */
export interface DeployedFunction {
  readonly name: $util.Input<string>;
  /** The alias's name. */
  readonly alias: $util.Input<string>;
  readonly aliasArn: $util.Input<string>;
}

/** A canary version, to whom calls are handed over. */
export interface DeployedVersion {
  readonly entry: DeployedFunction;
  /** Another one after each change of the version. */
  readonly fingerprint: $util.Output<string>;
}

/** What has been made so far, for what is made next: a service's resources are made after those of its dependencies. */
export interface Deployment {
  readonly plan: DeploymentPlan;
  readonly store: { readonly name: $util.Input<string>; readonly arn: $util.Input<string> };
  /** By service. */
  readonly queues: Map<string, DeployedQueues>;
  /** By service. */
  readonly functions: Map<string, DeployedFunction>;
  /** By service: URLs behind the private load balancer. */
  readonly urls: Map<string, $util.Input<string>>;
  /** By the plan's name of it: values of secrets. */
  readonly secrets: Map<string, $util.Input<string>>;
  /** By label: canary versions, which are made before the main one's entry. */
  readonly versions: Map<string, DeployedVersion>;
  /** What has another value after each change of what was made. */
  readonly revisions: $util.Input<string>[];
  /** The ARN of the topic that alarms go to; undefined in `sst dev`. */
  readonly alarmTopic: $util.Input<string> | undefined;
  /** By the plan's name of it: the alarm's name, once it is there. */
  readonly alarms: ReadonlyMap<string, $util.Input<string>>;
  /** Where containers run; undefined without any, and in `sst dev`. So is the load balancer. */
  readonly network: DeployedNetwork | undefined;
  readonly loadBalancer: DeployedLoadBalancer | undefined;
  /** By container service: the ARN of its cluster. */
  readonly clusters: Map<string, $util.Input<string>>;
  /** Where functions of a plan's `inVpc` are. */
  readonly functionNetwork: FunctionNetwork | undefined;
}

/** Where containers run. */
export interface DeployedNetwork {
  readonly vpcId: $util.Input<string>;
  readonly publicSubnets: readonly $util.Input<string>[];
  /** The security group of instances and tasks: nothing comes in but from the load balancer. */
  readonly workers: $util.Input<string>;
  /** Subnets without a way out, for functions and the load balancer; undefined where all calls go by queue. */
  readonly private: { readonly subnetIds: $util.Input<string>[]; readonly functions: $util.Input<string> } | undefined;
}

/** The private load balancer, and by service what is behind it. */
export interface DeployedLoadBalancer {
  readonly balancer: aws.lb.LoadBalancer;
  readonly targets: ReadonlyMap<string, DeployedTarget>;
}

export interface DeployedTarget {
  readonly target: aws.lb.TargetGroup;
  readonly listener: aws.lb.Listener;
  readonly url: $util.Output<string>;
}

/** Private subnets for functions, and the group that load balancers know them by. */
export interface FunctionNetwork {
  readonly subnetIds: $util.Input<$util.Input<string>[]>;
  readonly securityGroupIds: $util.Input<$util.Input<string>[]>;
}

/**
 * @param what names it, for the error.
 * @throws Error for something that was not made yet: services are made after those that they call.
 */
export function made<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what}: asked for before it was made`);
  return value;
}
