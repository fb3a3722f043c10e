/** What Pulumi's AWS provider asks AWS for when it creates a resource, for the types that a deployment is made of. */
import { answer } from "../../infra/mocked-outputs.ts";
import type { GraphResource } from "../../infra/synth.ts";
import { FOUNDATIONS } from "./api-calls-foundations.ts";
import {
  type Call,
  type Inputs,
  inPascal,
  type Mapping,
  set,
  smallTagList,
  tagged,
  tagList,
  texts,
  whole,
} from "./api-naming.ts";
import { templateCalls } from "./template-calls.ts";

export interface ApiCall {
  readonly resource: string;
  /** As botocore names it. */
  readonly service: string;
  readonly operation: string;
  readonly params: Inputs;
  /** Path in the answer -> the text that the mock gave for it. */
  readonly mocked: Record<string, string>;
}

function queueOf(i: Inputs, o: Inputs): Call {
  const attributes = texts({
    VisibilityTimeout: i.visibilityTimeoutSeconds,
    MessageRetentionPeriod: i.messageRetentionSeconds,
    ReceiveMessageWaitTimeSeconds: i.receiveWaitTimeSeconds,
    MaximumMessageSize: i.maxMessageSize,
    RedrivePolicy: i.redrivePolicy,
    RedriveAllowPolicy: i.redriveAllowPolicy,
    SqsManagedSseEnabled: i.sqsManagedSseEnabled,
    KmsMasterKeyId: i.kmsMasterKeyId,
    Policy: i.policy,
  });
  const params = { QueueName: i.name, Attributes: attributes, tags: i.tags };
  return { service: "sqs", operation: "CreateQueue", params, mocked: { QueueUrl: o.url } };
}

function queueAttribute(QueueUrl: string, name: string, value: string): Call {
  return { service: "sqs", operation: "SetQueueAttributes", params: { QueueUrl, Attributes: { [name]: value } } };
}

function functionOf(i: Inputs, o: Inputs): Call {
  const vpc = i.vpcConfig && { SubnetIds: i.vpcConfig.subnetIds, SecurityGroupIds: i.vpcConfig.securityGroupIds };
  const params = {
    FunctionName: i.name,
    Role: i.role,
    Handler: i.handler,
    Runtime: i.runtime,
    Code: i.imageUri ? { ImageUri: i.imageUri } : { S3Bucket: i.s3Bucket, S3Key: i.s3Key },
    PackageType: i.packageType,
    Description: i.description,
    Timeout: i.timeout,
    MemorySize: i.memorySize,
    Architectures: i.architectures,
    Publish: i.publish,
    Environment: i.environment && { Variables: i.environment.variables },
    TracingConfig: i.tracingConfig && { Mode: i.tracingConfig.mode },
    LoggingConfig: i.loggingConfig && inPascal(i.loggingConfig),
    EphemeralStorage: i.ephemeralStorage && { Size: i.ephemeralStorage.size },
    Layers: i.layers,
    VpcConfig: vpc,
    Tags: i.tags,
  };
  return { service: "lambda", operation: "CreateFunction", params, mocked: { FunctionArn: o.arn } };
}

function launchTemplateOf(i: Inputs, o: Inputs): Call {
  const { ebs: _, ...renamed } = { ebs: "Ebs", arn: "Arn", httpPutResponseHopLimit: "HttpPutResponseHopLimit" };
  const data = {
    ImageId: i.imageId,
    InstanceType: i.instanceType,
    UserData: i.userData,
    EbsOptimized: i.ebsOptimized === undefined ? undefined : String(i.ebsOptimized) === "true",
    IamInstanceProfile: i.iamInstanceProfile && inPascal(i.iamInstanceProfile),
    SecurityGroupIds: i.networkInterfaces ? undefined : i.vpcSecurityGroupIds,
    MetadataOptions: i.metadataOptions && inPascal(i.metadataOptions),
    Monitoring: i.monitoring && inPascal(i.monitoring),
    NetworkInterfaces: i.networkInterfaces?.map(({ associatePublicIpAddress, securityGroups, ...rest }: Inputs) => ({
      ...(inPascal(rest) as object),
      AssociatePublicIpAddress:
        associatePublicIpAddress === undefined ? undefined : String(associatePublicIpAddress) === "true",
      Groups: securityGroups,
      DeviceIndex: rest.deviceIndex ?? 0,
    })),
    BlockDeviceMappings: i.blockDeviceMappings?.map(({ ebs, ...rest }: Inputs) => ({
      ...(inPascal(rest, renamed) as object),
      Ebs: ebs && {
        ...(inPascal(ebs) as object),
        DeleteOnTermination:
          ebs.deleteOnTermination === undefined ? undefined : String(ebs.deleteOnTermination) === "true",
        Encrypted: String(ebs.encrypted) === "true",
      },
    })),
    TagSpecifications: i.tagSpecifications?.map(({ resourceType, tags }: Inputs) => ({
      ResourceType: resourceType,
      Tags: tagList(tags),
    })),
  };
  const params = {
    LaunchTemplateName: i.name,
    LaunchTemplateData: data,
    TagSpecifications: tagged("launch-template", i.tags),
  };
  return {
    service: "ec2",
    operation: "CreateLaunchTemplate",
    params,
    mocked: { "LaunchTemplate.LaunchTemplateId": o.id },
  };
}

function groupOf(i: Inputs): Call | Call[] {
  const mixed = i.mixedInstancesPolicy && {
    LaunchTemplate: {
      LaunchTemplateSpecification: inPascal(i.mixedInstancesPolicy.launchTemplate.launchTemplateSpecification),
      Overrides: inPascal(i.mixedInstancesPolicy.launchTemplate.overrides),
    },
    InstancesDistribution: inPascal(i.mixedInstancesPolicy.instancesDistribution),
  };
  const params = {
    AutoScalingGroupName: i.name,
    MinSize: i.minSize,
    MaxSize: i.maxSize,
    DesiredCapacity: i.desiredCapacity,
    DefaultInstanceWarmup: i.defaultInstanceWarmup,
    VPCZoneIdentifier: i.vpcZoneIdentifiers?.join(","),
    NewInstancesProtectedFromScaleIn: i.protectFromScaleIn,
    CapacityRebalance: i.capacityRebalance,
    HealthCheckGracePeriod: i.healthCheckGracePeriod,
    HealthCheckType: i.healthCheckType,
    LaunchTemplate:
      i.launchTemplate && inPascal(i.launchTemplate, { id: "LaunchTemplateId", name: "LaunchTemplateName" }),
    MixedInstancesPolicy: mixed,
    InstanceMaintenancePolicy: i.instanceMaintenancePolicy && inPascal(i.instanceMaintenancePolicy),
    Tags: i.tags?.map(({ key, value, propagateAtLaunch }: Inputs) => ({
      Key: key,
      Value: value,
      PropagateAtLaunch: propagateAtLaunch,
      ResourceId: i.name,
      ResourceType: "auto-scaling-group",
    })),
  };
  const pool = i.warmPool && {
    AutoScalingGroupName: i.name,
    MinSize: i.warmPool.minSize,
    MaxGroupPreparedCapacity: i.warmPool.maxGroupPreparedCapacity,
    PoolState: i.warmPool.poolState,
    InstanceReusePolicy: i.warmPool.instanceReusePolicy && inPascal(i.warmPool.instanceReusePolicy),
  };
  const create: Call = { service: "autoscaling", operation: "CreateAutoScalingGroup", params };
  return pool ? [create, { service: "autoscaling", operation: "PutWarmPool", params: pool }] : create;
}

function capacityProviderOf(i: Inputs, o: Inputs): Call {
  const group = i.autoScalingGroupProvider;
  const params = { name: i.name, autoScalingGroupProvider: group, cluster: i.cluster, tags: smallTagList(i.tags) };
  return {
    service: "ecs",
    operation: "CreateCapacityProvider",
    params,
    mocked: { "capacityProvider.capacityProviderArn": o.arn },
  };
}

function taskDefinitionOf(i: Inputs, o: Inputs): Call {
  const { containerDefinitions, tags, family, volumes, skipDestroy: _, trackLatest: __, ...rest } = i;
  const params = {
    family,
    containerDefinitions: JSON.parse(containerDefinitions),
    volumes: volumes?.map(({ name, hostPath }: Inputs) => ({ name, host: hostPath && { sourcePath: hostPath } })),
    ...rest,
    tags: tags && smallTagList(tags),
  };
  return {
    service: "ecs",
    operation: "RegisterTaskDefinition",
    params,
    mocked: { "taskDefinition.taskDefinitionArn": o.arn },
  };
}

function serviceOf(i: Inputs, o: Inputs): Call {
  const { minimum, maximum } = { minimum: i.deploymentMinimumHealthyPercent, maximum: i.deploymentMaximumPercent };
  const params = {
    cluster: i.cluster,
    serviceName: i.name,
    taskDefinition: i.taskDefinition,
    desiredCount: i.desiredCount,
    launchType: i.launchType,
    capacityProviderStrategy: i.capacityProviderStrategies,
    deploymentConfiguration: {
      ...i.deploymentConfiguration,
      ...(i.deploymentConfiguration?.bakeTimeInMinutes !== undefined && {
        bakeTimeInMinutes: whole(i.deploymentConfiguration.bakeTimeInMinutes),
      }),
      deploymentCircuitBreaker: i.deploymentCircuitBreaker,
      alarms: i.alarms,
      minimumHealthyPercent: minimum,
      maximumPercent: maximum,
    },
    availabilityZoneRebalancing: i.availabilityZoneRebalancing,
    healthCheckGracePeriodSeconds: i.healthCheckGracePeriodSeconds,
    placementStrategy: i.orderedPlacementStrategies,
    placementConstraints: i.placementConstraints,
    loadBalancers: i.loadBalancers,
    networkConfiguration: i.networkConfiguration && {
      awsvpcConfiguration: {
        subnets: i.networkConfiguration.subnets,
        securityGroups: i.networkConfiguration.securityGroups,
        assignPublicIp: i.networkConfiguration.assignPublicIp ? "ENABLED" : "DISABLED",
      },
    },
    enableECSManagedTags: i.enableEcsManagedTags,
    propagateTags: i.propagateTags,
    enableExecuteCommand: i.enableExecuteCommand,
    tags: i.tags && smallTagList(i.tags),
  };
  return { service: "ecs", operation: "CreateService", params, mocked: { "service.serviceArn": o.id } };
}

function metricQueries(queries: Inputs[] = []): object[] {
  return queries.map((query) => {
    // The provider spells an alarm's query `metric`, a policy's `metricStat`.
    const { metric, metricStat = metric, ...rest } = query;
    if (!metricStat) return inPascal(rest) as object;
    const { metric: inner, namespace, metricName, dimensions, ...stat } = metricStat;
    const about = inner ?? { namespace, metricName, dimensions };
    const list = Array.isArray(about.dimensions)
      ? about.dimensions.map(({ name, value }: Inputs) => ({ Name: name, Value: value }))
      : Object.entries((about.dimensions ?? {}) as Inputs).map(([Name, Value]) => ({ Name, Value }));
    const Metric = { Namespace: about.namespace, MetricName: about.metricName, Dimensions: list };
    return { ...(inPascal(rest) as object), MetricStat: { ...(inPascal(stat) as object), Metric } };
  });
}

function scalingPolicyOf(i: Inputs, o: Inputs): Call {
  const tracking = i.targetTrackingScalingPolicyConfiguration;
  const steps = i.stepScalingPolicyConfiguration;
  const custom = tracking?.customizedMetricSpecification;
  const params = {
    PolicyName: i.name,
    PolicyType: i.policyType,
    ResourceId: i.resourceId,
    ScalableDimension: i.scalableDimension,
    ServiceNamespace: i.serviceNamespace,
    TargetTrackingScalingPolicyConfiguration: tracking && {
      TargetValue: tracking.targetValue,
      ScaleInCooldown: tracking.scaleInCooldown,
      ScaleOutCooldown: tracking.scaleOutCooldown,
      DisableScaleIn: tracking.disableScaleIn,
      PredefinedMetricSpecification:
        tracking.predefinedMetricSpecification && inPascal(tracking.predefinedMetricSpecification),
      CustomizedMetricSpecification:
        custom &&
        (custom.metrics
          ? { Metrics: metricQueries(custom.metrics) }
          : { ...(inPascal({ ...custom, dimensions: undefined }) as object), Dimensions: inPascal(custom.dimensions) }),
    },
    StepScalingPolicyConfiguration: steps && {
      AdjustmentType: steps.adjustmentType,
      Cooldown: steps.cooldown,
      MetricAggregationType: steps.metricAggregationType,
      MinAdjustmentMagnitude: steps.minAdjustmentMagnitude,
      StepAdjustments: steps.stepAdjustments?.map((step: Inputs) => ({
        MetricIntervalLowerBound: whole(step.metricIntervalLowerBound),
        MetricIntervalUpperBound: whole(step.metricIntervalUpperBound),
        ScalingAdjustment: step.scalingAdjustment,
      })),
    },
  };
  return { service: "application-autoscaling", operation: "PutScalingPolicy", params, mocked: { PolicyARN: o.arn } };
}

function alarmOf(i: Inputs): Call {
  const { alarmName = undefined, name = alarmName } = i;
  const params = {
    AlarmName: name,
    AlarmDescription: i.alarmDescription,
    ActionsEnabled: i.actionsEnabled,
    AlarmActions: i.alarmActions,
    OKActions: i.okActions,
    InsufficientDataActions: i.insufficientDataActions,
    ComparisonOperator: i.comparisonOperator,
    EvaluationPeriods: i.evaluationPeriods,
    DatapointsToAlarm: i.datapointsToAlarm,
    Threshold: i.threshold,
    TreatMissingData: i.treatMissingData,
    Namespace: i.namespace,
    MetricName: i.metricName,
    Period: i.period,
    Statistic: i.statistic,
    ExtendedStatistic: i.extendedStatistic,
    Dimensions: i.dimensions && Object.entries(i.dimensions).map(([Name, Value]) => ({ Name, Value })),
    Metrics: i.metricQueries && metricQueries(i.metricQueries),
    Tags: i.tags && tagList(i.tags),
  };
  return { service: "cloudwatch", operation: "PutMetricAlarm", params };
}

function stackOf(i: Inputs, o: Inputs): Call[] {
  const create: Call = {
    service: "cloudformation",
    operation: "CreateStack",
    params: {
      StackName: i.name,
      TemplateBody: i.templateBody,
      OnFailure: i.onFailure,
      Capabilities: i.capabilities,
      Parameters: Object.entries((i.parameters ?? {}) as Inputs).map(([ParameterKey, ParameterValue]) => ({
        ParameterKey,
        ParameterValue,
      })),
      Tags: i.tags && tagList(i.tags),
    },
  };
  return [create, ...templateCalls(JSON.parse(i.templateBody), i.parameters ?? {}, o.name)];
}

const MAPPINGS: Record<string, Mapping> = {
  ...FOUNDATIONS,
  "aws:sqs/queuePolicy:QueuePolicy": (i) => queueAttribute(i.queueUrl, "Policy", i.policy),
  "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": (i) =>
    queueAttribute(i.queueUrl, "RedriveAllowPolicy", i.redriveAllowPolicy),
  "aws:lambda/permission:Permission": (i, o) => ({
    service: "lambda",
    operation: "AddPermission",
    params: {
      FunctionName: i.function,
      StatementId: i.statementId ?? o.name,
      Action: i.action,
      Principal: i.principal,
      Qualifier: i.qualifier,
      SourceArn: i.sourceArn,
      SourceAccount: i.sourceAccount,
      FunctionUrlAuthType: i.functionUrlAuthType,
      InvokedViaFunctionUrl: i.invokedViaFunctionUrl,
    },
  }),
  "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": (i) => ({
    service: "lambda",
    operation: "PutProvisionedConcurrencyConfig",
    params: {
      FunctionName: i.functionName,
      Qualifier: i.qualifier,
      ProvisionedConcurrentExecutions: i.provisionedConcurrentExecutions,
    },
  }),
  "aws:cloudformation/stack:Stack": stackOf,
  "aws:codedeploy/application:Application": (i) => ({
    service: "codedeploy",
    operation: "CreateApplication",
    params: { applicationName: i.name, computePlatform: i.computePlatform },
  }),
  "aws:codedeploy/deploymentConfig:DeploymentConfig": (i) => ({
    service: "codedeploy",
    operation: "CreateDeploymentConfig",
    params: {
      deploymentConfigName: i.deploymentConfigName,
      computePlatform: i.computePlatform,
      trafficRoutingConfig: i.trafficRoutingConfig && {
        type: i.trafficRoutingConfig.type,
        timeBasedCanary: i.trafficRoutingConfig.timeBasedCanary && {
          canaryPercentage: i.trafficRoutingConfig.timeBasedCanary.percentage,
          canaryInterval: i.trafficRoutingConfig.timeBasedCanary.interval,
        },
        timeBasedLinear: i.trafficRoutingConfig.timeBasedLinear && {
          linearPercentage: i.trafficRoutingConfig.timeBasedLinear.percentage,
          linearInterval: i.trafficRoutingConfig.timeBasedLinear.interval,
        },
      },
    },
  }),
  "aws:codedeploy/deploymentGroup:DeploymentGroup": (i) => ({
    service: "codedeploy",
    operation: "CreateDeploymentGroup",
    params: {
      applicationName: i.appName,
      deploymentGroupName: i.deploymentGroupName,
      serviceRoleArn: i.serviceRoleArn,
      deploymentConfigName: i.deploymentConfigName,
      deploymentStyle: i.deploymentStyle,
      autoRollbackConfiguration: i.autoRollbackConfiguration,
      alarmConfiguration: i.alarmConfiguration && {
        enabled: i.alarmConfiguration.enabled,
        alarms: i.alarmConfiguration.alarms?.map((name: string) => ({ name })),
      },
    },
  }),
  "aws:sqs/queue:Queue": queueOf,
  "aws:lambda/function:Function": functionOf,
  "aws:lambda/eventSourceMapping:EventSourceMapping": (i) => ({
    service: "lambda",
    operation: "CreateEventSourceMapping",
    params: {
      EventSourceArn: i.eventSourceArn,
      FunctionName: i.functionName,
      BatchSize: i.batchSize,
      MaximumBatchingWindowInSeconds: i.maximumBatchingWindowInSeconds,
      FunctionResponseTypes: i.functionResponseTypes,
      ScalingConfig: i.scalingConfig && { MaximumConcurrency: i.scalingConfig.maximumConcurrency },
      Tags: i.tags,
    },
  }),
  "aws:lambda/functionUrl:FunctionUrl": (i) => ({
    service: "lambda",
    operation: "CreateFunctionUrlConfig",
    params: {
      FunctionName: i.functionName,
      Qualifier: i.qualifier,
      AuthType: i.authorizationType,
      InvokeMode: i.invokeMode,
      Cors: i.cors && inPascal(i.cors),
    },
  }),
  "aws:ec2/launchTemplate:LaunchTemplate": launchTemplateOf,
  "aws:autoscaling/group:Group": groupOf,
  "aws:ecs/cluster:Cluster": (i, o) => ({
    service: "ecs",
    operation: "CreateCluster",
    params: { clusterName: i.name, settings: i.settings, tags: i.tags && smallTagList(i.tags) },
    mocked: { "cluster.clusterArn": o.arn },
  }),
  "aws:ecs/capacityProvider:CapacityProvider": capacityProviderOf,
  "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": (i) => ({
    service: "ecs",
    operation: "PutClusterCapacityProviders",
    params: {
      cluster: i.clusterName,
      capacityProviders: i.capacityProviders,
      defaultCapacityProviderStrategy: i.defaultCapacityProviderStrategies ?? [],
    },
  }),
  "aws:ecs/taskDefinition:TaskDefinition": taskDefinitionOf,
  "aws:ecs/service:Service": serviceOf,
  "aws:appautoscaling/target:Target": (i) => ({
    service: "application-autoscaling",
    operation: "RegisterScalableTarget",
    params: {
      ServiceNamespace: i.serviceNamespace,
      ResourceId: i.resourceId,
      ScalableDimension: i.scalableDimension,
      MinCapacity: i.minCapacity,
      MaxCapacity: i.maxCapacity,
    },
  }),
  "aws:appautoscaling/policy:Policy": scalingPolicyOf,
  "aws:cloudwatch/metricAlarm:MetricAlarm": alarmOf,
};

/**
 * Types that are checked otherwise, or are nothing of AWS's own to create: what the account has by itself, and objects whose
 * content the graph does not hold.
 */
const LEFT_OUT = new Set(["aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "aws:s3/bucketObjectv2:BucketObjectv2"]);

/**
 * The calls for every resource of AWS's, in the graph's order.
 * @throws Error for a type that is not known here: what is not mapped would not be checked.
 */
export function apiCalls(resources: readonly GraphResource[], region: string): ApiCall[] {
  return resources.flatMap(({ name, type, inputs }) => {
    if (!type.startsWith("aws:") || LEFT_OUT.has(type)) return [];
    const mapping = MAPPINGS[type];
    if (!mapping) throw new Error(`${type} (${name}) has no mapping to calls of AWS's: write one in api-calls.ts`);
    const { id, state } = answer({ type, name, inputs, outputs: [], region });
    return [mapping(inputs, { ...state, id })].flat().map(({ service, operation, params, mocked = {} }) => ({
      resource: `${type}::${name}`,
      service,
      operation,
      params: set(params) as Inputs,
      mocked,
    }));
  });
}
