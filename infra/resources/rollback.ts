/// <reference path="../../.sst/platform/config.d.ts" />
import type { AlarmPlan, CanaryVersion, DeploymentPlan } from "../plan/deployment-plan.ts";
import { logicalName } from "../plan/names.ts";
import { type Deployment, made } from "./deployed.ts";
import { createFunction } from "./functions.ts";
import { type Metric, metricQueries } from "./metrics.ts";
import { statementsOf } from "./permissions.ts";
import { serviceTags } from "./service-tags.ts";

/** Calls of a version that must have failed: fewer say little of it. */
const LEAST_FAILURES = 3;

/**
 * The function that takes the calls off a canary version, and the alarms that invoke it. CloudWatch invokes a function by
 * itself: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
 */
export function createRollback(deployment: Deployment): void {
  const { plan, store, versions } = deployment;
  if (!plan.canary || versions.size === 0) return;
  const { rollback, rollbackPermissions } = plan.canary;
  const watched = plan.alarms.flatMap((alarm) => {
    const version = plan.canary?.versions.find(({ label }) => label === alarm.version);
    return version && alarm.metric === "version-errors" ? [{ alarm, version }] : [];
  });
  const alarms = watched.map(({ alarm: { physicalName }, version: { label } }) => {
    const { fingerprint } = made(versions.get(label), `version ${label}`);
    return [physicalName, { label, fingerprint }] as const;
  });
  const fn = createFunction("CanaryRollback", { name: plan.entry.service }, rollback, deployment, {
    environment: {
      TANDEM_STORE: $interpolate`s3://${store.name}`,
      TANDEM_CANARY_ALARMS: $jsonStringify(Object.fromEntries(alarms)),
    },
    statements: statementsOf(rollbackPermissions, deployment),
    install: ["pino"],
    versioning: false,
  });
  for (const { alarm, version } of watched) createVersionAlarm(alarm, version, fn, deployment);
}

function createVersionAlarm(
  alarm: AlarmPlan,
  version: CanaryVersion,
  fn: sst.aws.Function,
  { plan, alarmTopic }: Deployment,
): void {
  const id = logicalName({ name: alarm.service, version: version.label });
  const topic = made(alarmTopic, "topic of alarms");
  const watching = new aws.cloudwatch.MetricAlarm(`${id}ErrorsAlarm`, {
    name: alarm.physicalName,
    alarmDescription: alarm.description,
    comparisonOperator: "GreaterThanThreshold",
    threshold: alarm.threshold,
    evaluationPeriods: alarm.periods,
    datapointsToAlarm: alarm.periods,
    treatMissingData: "notBreaching",
    metricQueries: metricQueries(failures(version, plan), alarm.period),
    alarmActions: [topic, fn.arn],
    okActions: [topic],
    tags: serviceTags({ name: alarm.service, version: version.label }),
  });
  new aws.lambda.Permission(`${id}RollbackPermission`, {
    function: fn.name,
    action: "lambda:InvokeFunction",
    principal: "lambda.alarms.cloudwatch.amazonaws.com",
    sourceArn: watching.arn,
    sourceAccount: aws.getCallerIdentityOutput().accountId,
  });
}

/**
 * Percent of a version's calls that failed: of those that the entry handed over, as their callers saw them, and of those in
 * the version's own queue.
 */
function failures({ label, services }: CanaryVersion, { entry }: DeploymentPlan): Metric[] {
  const { service } = entry;
  const own = services.find(({ name }) => name === service);
  const count = (id: string, name: string, dimensions: Record<string, string>, namespace = "Tandem"): Metric => ({
    id,
    metric: { namespace, name, dimensions, stat: "Sum" },
  });
  const queued = (id: string, outcome = id): Metric =>
    count(id, `Deliveries.${outcome}`, { Service: service, Version: label });
  const queueFunction = own?.kind === "function" ? own.queueFunction : undefined;
  const failed: Metric[] = [
    count("answers_failed", `Versions.${label}.Failed`, { Service: service }),
    queued("faults", "failed.5xx"),
    queued("redelivered"),
    queued("dead"),
    ...(queueFunction ? [count("crashed", "Errors", { FunctionName: queueFunction.physicalName }, "AWS/Lambda")] : []),
  ];
  const others = [
    count("answered", `Versions.${label}.Answered`, { Service: service }),
    queued("run"),
    queued("failed"),
  ];
  // Calls that failed by the version's fault are among those that failed.
  const all = [...failed.filter(({ id }) => id !== "faults"), ...others];
  const sum = (metrics: readonly Metric[]): string => `FILL(SUM([${metrics.map(({ id }) => id).join(", ")}]), 0)`;
  return [
    ...failed,
    ...others,
    {
      id: "rate",
      label: "Percent that failed, once there are three",
      expression: `IF(${sum(failed)} >= ${LEAST_FAILURES}, 100 * ${sum(failed)} / ${sum(all)}, 0)`,
    },
  ];
}
