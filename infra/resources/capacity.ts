/// <reference path="../../.sst/platform/config.d.ts" />
import type { CapacityPlan, DeploymentPlan, GpuContainerPlan } from "../plan/deployment-plan.ts";
import { logicalName, nameParts, namer, physicalName } from "../plan/names.ts";
import type { DeployedNetwork } from "./deployed.ts";
import { serviceTags } from "./service-tags.ts";
import { userData } from "./user-data.ts";

/** ECS's image with NVIDIA's drivers and container runtime; AWS renews it about once a week. */
const GPU_AMI = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id";

/** A new instance is there before an old one goes, whatever the strategy of the tasks: GPUs may be sold out. */
const REPLACED_BESIDE = { minHealthyPercentage: 100, maxHealthyPercentage: 200 } as const;
/** Longest name of a launch template, in characters. */
const TEMPLATE_NAME = 128;

/**
 * The instances of one GPU service: a launch template, an auto scaling group and the capacity provider by which ECS sizes
 * the group to the tasks that want room. Instances have no way in: no key pair, no inbound rule, a shell only by Session
 * Manager.
 * @returns the capacity provider.
 */
export function createCapacity(
  plan: DeploymentPlan,
  service: GpuContainerPlan,
  network: DeployedNetwork,
  cluster: $util.Output<aws.ecs.Cluster>,
): aws.ecs.CapacityProvider {
  const { capacity } = service;
  const tags = serviceTags(service);
  const template = launchTemplate(plan, service, network);
  const group = new aws.autoscaling.Group(
    `${logicalName(service)}Group`,
    {
      name: capacity.physicalName,
      minSize: capacity.minInstances,
      maxSize: capacity.maxInstances,
      vpcZoneIdentifiers: [...network.publicSubnets],
      ...instances(capacity, template),
      // ECS takes it from an instance once no task is on it: nothing else may scale in a machine that works.
      protectFromScaleIn: true,
      capacityRebalance: capacity.spotPercent > 0,
      healthCheckType: "EC2",
      defaultInstanceWarmup: Math.ceil(service.startEstimate.boot),
      instanceMaintenancePolicy: REPLACED_BESIDE,
      instanceRefresh: {
        // Where the template has changed: a new AMI, another type. Managed draining lets calls end before an instance goes.
        strategy: "Rolling",
        preferences: {
          ...REPLACED_BESIDE,
          scaleInProtectedInstances: "Refresh",
          skipMatching: true,
        },
      },
      ...(capacity.warmPool > 0 && {
        // Both the same: so many, and not whatever is missing to the group's greatest size.
        warmPool: {
          poolState: "Stopped",
          minSize: capacity.warmPool,
          maxGroupPreparedCapacity: capacity.warmPool,
        },
      }),
      enabledMetrics: [
        "GroupDesiredCapacity",
        "GroupInServiceInstances",
        "GroupPendingInstances",
        "WarmPoolWarmedCapacity",
      ],
      // A deployment does not wait for GPUs that may be sold out: the queue does.
      waitForCapacityTimeout: "0",
      // Removing the deployment removes instances that are protected, too.
      forceDelete: true,
      forceDeleteWarmPool: true,
      tags: Object.entries({ ...plan.tags, ...tags, Name: capacity.physicalName, AmazonECSManaged: "true" }).map(
        ([key, value]) => ({ key, value, propagateAtLaunch: true }),
      ),
    },
    // ECS sizes it. The cluster is there before any instance boots, and gone only after the last one.
    { ignoreChanges: ["desiredCapacity"], dependsOn: [cluster] },
  );
  return new aws.ecs.CapacityProvider(`${logicalName(service)}Capacity`, {
    name: capacity.physicalName,
    autoScalingGroupProvider: {
      autoScalingGroupArn: group.arn,
      managedScaling: {
        status: "ENABLED",
        targetCapacity: 100,
        minimumScalingStepSize: 1,
        maximumScalingStepSize: Math.max(1, capacity.maxInstances),
        instanceWarmupPeriod: Math.ceil(service.startEstimate.boot),
      },
      managedTerminationProtection: "ENABLED",
      managedDraining: "ENABLED",
    },
    tags,
  });
}

function launchTemplate(
  plan: DeploymentPlan,
  service: GpuContainerPlan,
  network: DeployedNetwork,
): aws.ec2.LaunchTemplate {
  const { capacity, task } = service;
  const tags = { ...plan.tags, ...serviceTags(service), Name: capacity.physicalName };
  const script = userData({
    cluster: task.physicalName,
    stopTimeout: task.stopTimeout,
    // Over a baked image's weights a blank disk would hide them.
    instanceStorage: capacity.instanceStorage && capacity.ami === undefined,
    baked: capacity.ami !== undefined,
    warmPool: capacity.warmPool > 0,
  });
  return new aws.ec2.LaunchTemplate(`${logicalName(service)}Template`, {
    name: physicalName([capacity.physicalName], TEMPLATE_NAME),
    imageId: capacity.ami ?? aws.ssm.getParameterOutput({ name: GPU_AMI }).value,
    instanceType: capacity.instanceTypes[0]!,
    iamInstanceProfile: { arn: instanceProfile(plan, service).arn },
    vpcSecurityGroupIds: [network.workers],
    metadataOptions: {
      httpEndpoint: "enabled",
      httpTokens: "required",
      // Containers in bridge mode are a hop further away: they get their task's credentials, never the instance's.
      httpPutResponseHopLimit: 1,
      instanceMetadataTags: "disabled",
    },
    blockDeviceMappings: [
      {
        deviceName: "/dev/xvda",
        ebs: { volumeType: "gp3", volumeSize: capacity.rootVolume, encrypted: "true", deleteOnTermination: "true" },
      },
    ],
    monitoring: { enabled: false },
    updateDefaultVersion: true,
    userData: Buffer.from(script).toString("base64"),
    tagSpecifications: ["volume", "network-interface"].map((resourceType) => ({ resourceType, tags })),
    tags: serviceTags(service),
  });
}

/** One type on demand is a launch template; several, or a share of Spot, a policy over it. */
function instances(
  { instanceTypes, spotPercent, minInstances }: CapacityPlan,
  template: aws.ec2.LaunchTemplate,
): Pick<aws.autoscaling.GroupArgs, "launchTemplate" | "mixedInstancesPolicy"> {
  const version = $interpolate`${template.latestVersion}`;
  if (instanceTypes.length === 1 && spotPercent === 0) return { launchTemplate: { id: template.id, version } };
  return {
    mixedInstancesPolicy: {
      launchTemplate: {
        launchTemplateSpecification: { launchTemplateId: template.id, version },
        overrides: instanceTypes.map((instanceType) => ({ instanceType })),
      },
      instancesDistribution: {
        onDemandBaseCapacity: minInstances,
        onDemandPercentageAboveBaseCapacity: 100 - spotPercent,
        onDemandAllocationStrategy: "prioritized",
        spotAllocationStrategy: "capacity-optimized-prioritized",
      },
    },
  };
}

function instanceProfile(plan: DeploymentPlan, service: GpuContainerPlan): aws.iam.InstanceProfile {
  const id = logicalName(service);
  const name = namer(plan.name, plan.stage)("role", ...nameParts(service), "instance");
  const { partition } = aws.getPartitionOutput();
  const role = new aws.iam.Role(`${id}InstanceRole`, {
    name,
    description: "Joins ECS's cluster and opens shells by Session Manager",
    assumeRolePolicy: aws.iam.assumeRolePolicyForPrincipal({ Service: "ec2.amazonaws.com" }),
    tags: serviceTags(service),
  });
  const policies = ["service-role/AmazonEC2ContainerServiceforEC2Role", "AmazonSSMManagedInstanceCore"].map(
    (policy) =>
      new aws.iam.RolePolicyAttachment(`${id}Instance${policy.split("/").at(-1)}`, {
        role: role.name,
        policyArn: $interpolate`arn:${partition}:iam::aws:policy/${policy}`,
      }),
  );
  // Without its policies an instance would boot and find no cluster.
  return new aws.iam.InstanceProfile(
    `${id}InstanceProfile`,
    { name, role: role.name, tags: serviceTags(service) },
    { dependsOn: policies },
  );
}
