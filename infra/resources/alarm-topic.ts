/// <reference path="../../.sst/platform/config.d.ts" />
import type { DeploymentPlan } from "../plan/deployment-plan.ts";
import { namer } from "../plan/names.ts";

/**
 * The topic that alarms go to, and the address that hears of them once its owner has followed the link in SNS's first mail.
 * Encrypted with a key of its own: CloudWatch may not use AWS's key of SNS.
 * @returns the topic's ARN.
 */
export function createAlarmTopic(plan: DeploymentPlan): $util.Output<string> {
  const name = namer(plan.name, plan.stage)("alarm", "alarms");
  const { accountId } = aws.getCallerIdentityOutput();
  const cloudwatch = { type: "Service", identifiers: ["cloudwatch.amazonaws.com"] };
  const fromThisAccount = { test: "StringEquals", variable: "aws:SourceAccount", values: [accountId] };
  const key = new aws.kms.Key("AlarmKey", {
    description: `Alarms of ${plan.name}, stage ${plan.stage}`,
    enableKeyRotation: true,
    deletionWindowInDays: 7,
    policy: aws.iam.getPolicyDocumentOutput({
      statements: [
        {
          sid: "AccountManagesItsKey",
          actions: ["kms:*"],
          // In a key's own policy `*` is that key.
          resources: ["*"],
          principals: [
            {
              type: "AWS",
              identifiers: [$interpolate`arn:${aws.getPartitionOutput().partition}:iam::${accountId}:root`],
            },
          ],
        },
        {
          sid: "AlarmsEncrypt",
          actions: ["kms:Decrypt", "kms:GenerateDataKey*"],
          resources: ["*"],
          principals: [cloudwatch],
          conditions: [fromThisAccount],
        },
      ],
    }).json,
  });
  const topic = new aws.sns.Topic("AlarmTopic", { name, kmsMasterKeyId: key.id });
  new aws.sns.TopicPolicy("AlarmTopicPolicy", {
    arn: topic.arn,
    policy: aws.iam.getPolicyDocumentOutput({
      statements: [
        {
          sid: "AlarmsPublish",
          actions: ["sns:Publish"],
          resources: [topic.arn],
          principals: [cloudwatch],
          conditions: [fromThisAccount],
        },
      ],
    }).json,
  });
  if (plan.alarmEmail !== undefined)
    new aws.sns.TopicSubscription("AlarmEmail", { topic: topic.arn, protocol: "email", endpoint: plan.alarmEmail });
  return topic.arn;
}
