/// <reference path="../../.sst/platform/config.d.ts" />
import type { ServicePlan } from "../plan/deployment-plan.ts";
import type { Deployment } from "./deployed.ts";
import { policyOf, statementsOf } from "./permissions.ts";
import { serviceTags } from "./service-tags.ts";

/** ECR repository of all images that SST builds. */
const IMAGES = "sst-asset";

/** What the service's code may do: what the plan says, and nothing of SST's. */
export function taskRole(service: ServicePlan, deployment: Deployment) {
  return (args: aws.iam.RoleArgs): undefined => {
    args.description = `What ${service.name} may do`;
    args.tags = serviceTags(service);
    args.assumeRolePolicy = aws.iam.getPolicyDocumentOutput({
      statements: [
        {
          actions: ["sts:AssumeRole"],
          principals: [{ type: "Service", identifiers: ["ecs-tasks.amazonaws.com"] }],
          // Not for another account's tasks.
          conditions: [{ test: "StringEquals", variable: "aws:SourceAccount", values: [account()] }],
        },
      ],
    }).json;
    const policy = policyOf(statementsOf(service.permissions, deployment));
    args.inlinePolicies = service.permissions.length === 0 ? [] : [{ name: "tandem", policy }];
  };
}

/** What ECS does for a task before it starts: pulls the image, reads its secrets, opens its log. */
export function executionRole(
  service: ServicePlan,
  region: string,
  logGroup: string,
  secrets: readonly aws.ssm.Parameter[],
) {
  return (args: aws.iam.RoleArgs): undefined => {
    const { partition } = aws.getPartitionOutput();
    const arn = (api: string, resource: string) =>
      $interpolate`arn:${partition}:${api}:${region}:${account()}:${resource}`;
    args.description = `Starts tasks of ${service.name}`;
    args.tags = serviceTags(service);
    args.managedPolicyArns = [];
    args.inlinePolicies = [
      {
        name: "tandem",
        policy: policyOf([
          // AWS has no resource for it.
          { actions: ["ecr:GetAuthorizationToken"], resources: ["*"] },
          {
            actions: ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources: [arn("ecr", `repository/${IMAGES}`)],
          },
          {
            actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
            resources: [arn("logs", `log-group:${logGroup}:*`)],
          },
          ...(secrets.length > 0
            ? [{ actions: ["ssm:GetParameters"], resources: secrets.map((parameter) => parameter.arn) }]
            : []),
        ]),
      },
    ];
  };
}

function account(): $util.Output<string> {
  return aws.getCallerIdentityOutput().accountId;
}
