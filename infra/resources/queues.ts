/// <reference path="../../.sst/platform/config.d.ts" />
import type { QueuePlan } from "../plan/deployment-plan.ts";
import { logicalName, type VersionedName } from "../plan/names.ts";
import type { DeployedQueue, DeployedQueues } from "./deployed.ts";
import { serviceTags } from "./service-tags.ts";

/** Bytes of the largest message that SQS takes, attributes included; the provider's default is a quarter of it. */
const MAX_MESSAGE = 1024 * 1024;
/** Seconds: 14 days, the most there is. A message's age counts from its first sending, also in the dead-letter queue. */
const DEAD_LETTER_RETENTION = 1_209_600;
/** Seconds of a long poll, where the receiver does not say. */
const RECEIVE_WAIT = 20;
/** As AWS advises for a function as the receiver: so many of its timeouts. */
const VISIBILITY_IN_TIMEOUTS = 6;

/**
 * A service's two lanes, and the dead-letter queue in which both give up a message after `maxReceiveCount` deliveries.
 * Encrypted by SQS, asked over TLS only; only these lanes may use the dead-letter queue.
 */
export function createQueues(service: VersionedName, plan: QueuePlan): DeployedQueues {
  const logical = logicalName(service);
  const create = (role: string, name: string, args: aws.sqs.QueueArgs): DeployedQueue => {
    const id = `${logical}${role}`;
    const queue = new aws.sqs.Queue(id, {
      name,
      sqsManagedSseEnabled: true,
      maxMessageSize: MAX_MESSAGE,
      receiveWaitTimeSeconds: RECEIVE_WAIT,
      tags: serviceTags(service),
      ...args,
    });
    new aws.sqs.QueuePolicy(`${id}Tls`, { queueUrl: queue.url, policy: tlsOnly(queue.arn) });
    return { name, url: queue.url, arn: queue.arn };
  };

  const deadLetters = create("DeadLetterQueue", plan.deadLetterPhysicalName, {
    messageRetentionSeconds: DEAD_LETTER_RETENTION,
    visibilityTimeoutSeconds: VISIBILITY_IN_TIMEOUTS * plan.deadLetterFunction.timeout,
  });
  const lane: aws.sqs.QueueArgs = {
    messageRetentionSeconds: plan.retention,
    visibilityTimeoutSeconds: plan.visibilityTimeout,
    redrivePolicy: $jsonStringify({ deadLetterTargetArn: deadLetters.arn, maxReceiveCount: plan.maxReceiveCount }),
  };
  const queue = create("Queue", plan.physicalName, lane);
  const priority = create("PriorityQueue", plan.priorityPhysicalName, lane);
  new aws.sqs.RedriveAllowPolicy(`${logical}DeadLetterSources`, {
    queueUrl: deadLetters.url,
    redriveAllowPolicy: $jsonStringify({
      redrivePermission: "byQueue",
      sourceQueueArns: [queue.arn, priority.arn],
    }),
  });
  return { queue, priority, deadLetters };
}

/** Allows nobody anything: what services may do, their own policies say. */
function tlsOnly(arn: $util.Input<string>): $util.Output<string> {
  return $jsonStringify({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "sqs:*",
        Resource: arn,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  });
}
