/** Calls for what services stand on: network, roles, storage, topics, logs. */
import { type Inputs, inPascal, type Mapping, tagged, tagList } from "./api-naming.ts";

const json = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
const rules = (i: Inputs, direction: "Ingress" | "Egress", group: string) => ({
  service: "ec2",
  operation: `AuthorizeSecurityGroup${direction}`,
  params: {
    GroupId: group,
    IpPermissions: [
      {
        IpProtocol: i.ipProtocol,
        FromPort: i.fromPort,
        ToPort: i.toPort,
        IpRanges: i.cidrIpv4 && [{ CidrIp: i.cidrIpv4, Description: i.description }],
        UserIdGroupPairs: i.referencedSecurityGroupId && [
          { GroupId: i.referencedSecurityGroupId, Description: i.description },
        ],
        PrefixListIds: i.prefixListId && [{ PrefixListId: i.prefixListId, Description: i.description }],
      },
    ],
  },
});

export const FOUNDATIONS: Record<string, Mapping> = {
  "aws:ec2/vpc:Vpc": (i, o) => ({
    service: "ec2",
    operation: "CreateVpc",
    params: { CidrBlock: i.cidrBlock, TagSpecifications: tagged("vpc", i.tags) },
    mocked: { "Vpc.VpcId": o.id },
  }),
  "aws:ec2/subnet:Subnet": (i, o) => ({
    service: "ec2",
    operation: "CreateSubnet",
    params: {
      VpcId: i.vpcId,
      CidrBlock: i.cidrBlock,
      AvailabilityZone: i.availabilityZone,
      TagSpecifications: tagged("subnet", i.tags),
    },
    mocked: { "Subnet.SubnetId": o.id },
  }),
  "aws:ec2/internetGateway:InternetGateway": (i, o) => [
    {
      service: "ec2",
      operation: "CreateInternetGateway",
      params: { TagSpecifications: tagged("internet-gateway", i.tags) },
      mocked: { "InternetGateway.InternetGatewayId": o.id },
    },
    { service: "ec2", operation: "AttachInternetGateway", params: { InternetGatewayId: o.id, VpcId: i.vpcId } },
  ],
  "aws:ec2/routeTable:RouteTable": (i, o) => [
    {
      service: "ec2",
      operation: "CreateRouteTable",
      params: { VpcId: i.vpcId, TagSpecifications: tagged("route-table", i.tags) },
      mocked: { "RouteTable.RouteTableId": o.id },
    },
    ...(i.routes ?? []).map(({ cidrBlock, gatewayId }: Inputs) => ({
      service: "ec2",
      operation: "CreateRoute",
      params: { RouteTableId: o.id, DestinationCidrBlock: cidrBlock, GatewayId: gatewayId },
    })),
  ],
  "aws:ec2/routeTableAssociation:RouteTableAssociation": (i) => ({
    service: "ec2",
    operation: "AssociateRouteTable",
    params: { RouteTableId: i.routeTableId, SubnetId: i.subnetId },
  }),
  "aws:ec2/securityGroup:SecurityGroup": (i, o) => ({
    service: "ec2",
    operation: "CreateSecurityGroup",
    params: {
      // The provider makes a name where none is given.
      GroupName: i.name ?? o.id,
      Description: i.description,
      VpcId: i.vpcId,
      TagSpecifications: tagged("security-group", i.tags),
    },
    mocked: { GroupId: o.id },
  }),
  "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (i) => rules(i, "Ingress", i.securityGroupId),
  // A group comes with a rule that lets everything out, which the provider takes away.
  "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (i) => [
    {
      service: "ec2",
      operation: "RevokeSecurityGroupEgress",
      params: {
        GroupId: i.securityGroupId,
        IpPermissions: [{ IpProtocol: "-1", IpRanges: [{ CidrIp: "0.0.0.0/0" }] }],
      },
    },
    rules(i, "Egress", i.securityGroupId),
  ],
  "aws:ec2/vpcEndpoint:VpcEndpoint": (i) => ({
    service: "ec2",
    operation: "CreateVpcEndpoint",
    params: {
      VpcId: i.vpcId,
      ServiceName: i.serviceName,
      VpcEndpointType: i.vpcEndpointType,
      RouteTableIds: i.routeTableIds,
      SubnetIds: i.subnetIds,
      SecurityGroupIds: i.securityGroupIds,
      PrivateDnsEnabled: i.privateDnsEnabled,
      PolicyDocument: i.policy && json(i.policy),
    },
  }),
  "aws:iam/role:Role": (i, o) => [
    {
      service: "iam",
      operation: "CreateRole",
      params: {
        // The provider makes a name where none is given.
        RoleName: i.name ?? o.name,
        AssumeRolePolicyDocument: json(i.assumeRolePolicy),
        Description: i.description,
        Tags: i.tags && tagList(i.tags),
      },
    },
    ...(i.inlinePolicies ?? []).map(({ name, policy }: Inputs) => ({
      service: "iam",
      operation: "PutRolePolicy",
      params: { RoleName: i.name ?? o.name, PolicyName: name, PolicyDocument: json(policy) },
    })),
    ...(i.managedPolicyArns ?? []).map((PolicyArn: string) => ({
      service: "iam",
      operation: "AttachRolePolicy",
      params: { RoleName: i.name ?? o.name, PolicyArn },
    })),
  ],
  "aws:iam/rolePolicy:RolePolicy": (i, o) => ({
    service: "iam",
    operation: "PutRolePolicy",
    params: { RoleName: i.role, PolicyName: i.name ?? o.id, PolicyDocument: json(i.policy) },
  }),
  "aws:ecr/repository:Repository": (i) => ({
    service: "ecr",
    operation: "CreateRepository",
    params: {
      repositoryName: i.name,
      imageTagMutability: i.imageTagMutability,
      imageScanningConfiguration: i.imageScanningConfiguration,
      encryptionConfiguration: i.encryptionConfigurations?.[0],
      tags: i.tags && tagList(i.tags),
    },
  }),
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": (i) => ({
    service: "ecr",
    operation: "PutLifecyclePolicy",
    params: { repositoryName: i.repository, lifecyclePolicyText: json(i.policy) },
  }),
  "aws:ecr/repositoryPolicy:RepositoryPolicy": (i) => ({
    service: "ecr",
    operation: "SetRepositoryPolicy",
    params: { repositoryName: i.repository, policyText: json(i.policy) },
  }),
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (i) => ({
    service: "iam",
    operation: "AttachRolePolicy",
    params: { RoleName: i.role, PolicyArn: i.policyArn },
  }),
  "aws:iam/instanceProfile:InstanceProfile": (i) => [
    { service: "iam", operation: "CreateInstanceProfile", params: { InstanceProfileName: i.name } },
    {
      service: "iam",
      operation: "AddRoleToInstanceProfile",
      params: { InstanceProfileName: i.name, RoleName: i.role },
    },
  ],
  "aws:s3/bucket:Bucket": (i) => ({ service: "s3", operation: "CreateBucket", params: { Bucket: i.bucket } }),
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": ({ bucket, ...i }) => ({
    service: "s3",
    operation: "PutPublicAccessBlock",
    params: { Bucket: bucket, PublicAccessBlockConfiguration: inPascal(i) },
  }),
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (i) => ({
    service: "s3",
    operation: "PutBucketEncryption",
    params: {
      Bucket: i.bucket,
      ServerSideEncryptionConfiguration: {
        Rules: inPascal(i.rules, { sseAlgorithm: "SSEAlgorithm", kmsMasterKeyId: "KMSMasterKeyID" }),
      },
    },
  }),
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (i) => ({
    service: "s3",
    operation: "PutBucketLifecycleConfiguration",
    params: {
      Bucket: i.bucket,
      LifecycleConfiguration: {
        Rules: i.rules.map(({ filter, ...rule }: Inputs) => ({
          ...(inPascal(rule, { id: "ID" }) as object),
          Filter: filter ? inPascal(filter) : { Prefix: "" },
        })),
      },
    },
  }),
  "aws:s3/bucketPolicy:BucketPolicy": (i) => ({
    service: "s3",
    operation: "PutBucketPolicy",
    params: { Bucket: i.bucket, Policy: json(i.policy) },
  }),
  "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (i) => ({
    service: "s3",
    operation: "PutBucketOwnershipControls",
    params: { Bucket: i.bucket, OwnershipControls: { Rules: [inPascal(i.rule)] } },
  }),
  "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": (i) => ({
    service: "s3",
    operation: "PutBucketCors",
    params: { Bucket: i.bucket, CORSConfiguration: { CORSRules: inPascal(i.corsRules) } },
  }),
  "aws:kms/key:Key": (i, o) => ({
    service: "kms",
    operation: "CreateKey",
    params: { Description: i.description, Policy: i.policy },
    mocked: { "KeyMetadata.KeyId": o.id },
  }),
  "aws:sns/topic:Topic": (i) => ({
    service: "sns",
    operation: "CreateTopic",
    params: { Name: i.name, Attributes: i.kmsMasterKeyId && { KmsMasterKeyId: i.kmsMasterKeyId } },
  }),
  "aws:sns/topicPolicy:TopicPolicy": (i) => ({
    service: "sns",
    operation: "SetTopicAttributes",
    params: { TopicArn: i.arn, AttributeName: "Policy", AttributeValue: json(i.policy) },
  }),
  "aws:sns/topicSubscription:TopicSubscription": (i) => ({
    service: "sns",
    operation: "Subscribe",
    params: { TopicArn: i.topic, Protocol: i.protocol, Endpoint: i.endpoint },
  }),
  "aws:cloudwatch/logGroup:LogGroup": (i) => [
    { service: "logs", operation: "CreateLogGroup", params: { logGroupName: i.name, tags: i.tags } },
    {
      service: "logs",
      operation: "PutRetentionPolicy",
      params: { logGroupName: i.name, retentionInDays: i.retentionInDays },
    },
  ],
  "aws:cloudwatch/dashboard:Dashboard": (i) => ({
    service: "cloudwatch",
    operation: "PutDashboard",
    params: { DashboardName: i.dashboardName, DashboardBody: i.dashboardBody },
  }),
  "aws:ssm/parameter:Parameter": (i) => ({
    service: "ssm",
    operation: "PutParameter",
    params: { Name: i.name, Type: i.type, Value: i.value, Description: i.description },
  }),
  "aws:lb/loadBalancer:LoadBalancer": (i, o) => ({
    service: "elbv2",
    operation: "CreateLoadBalancer",
    params: {
      Name: i.name,
      Scheme: i.internal ? "internal" : "internet-facing",
      Type: i.loadBalancerType,
      Subnets: i.subnets,
      SecurityGroups: i.securityGroups,
    },
    mocked: { "LoadBalancers.0.LoadBalancerArn": o.arn, "LoadBalancers.0.DNSName": o.dnsName },
  }),
  "aws:lb/targetGroup:TargetGroup": (i, o) => ({
    service: "elbv2",
    operation: "CreateTargetGroup",
    params: {
      Name: i.name ?? `${i.namePrefix ?? "tandem"}01234567`,
      Port: i.port,
      Protocol: i.protocol,
      VpcId: i.vpcId,
      TargetType: i.targetType,
      HealthCheckPath: i.healthCheck?.path,
      HealthCheckIntervalSeconds: i.healthCheck?.interval,
      HealthCheckTimeoutSeconds: i.healthCheck?.timeout,
      HealthyThresholdCount: i.healthCheck?.healthyThreshold,
      UnhealthyThresholdCount: i.healthCheck?.unhealthyThreshold,
      Matcher: i.healthCheck?.matcher && { HttpCode: i.healthCheck.matcher },
    },
    mocked: { "TargetGroups.0.TargetGroupArn": o.arn },
  }),
  "aws:lb/listener:Listener": (i, o) => ({
    service: "elbv2",
    operation: "CreateListener",
    params: {
      LoadBalancerArn: i.loadBalancerArn,
      Port: i.port,
      Protocol: i.protocol,
      DefaultActions: i.defaultActions.map(({ type, targetGroupArn }: Inputs) => ({
        Type: type,
        TargetGroupArn: targetGroupArn,
      })),
    },
    mocked: { "Listeners.0.ListenerArn": o.arn },
  }),
};
